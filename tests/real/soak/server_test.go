package soak

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	_ "net/http/pprof"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/DataDog/zstd"
	_ "github.com/mattn/go-sqlite3"

	cgoheap "github.com/cgoheap/cgoheap/go"
	_ "github.com/cgoheap/cgoheap/go/look/register"
	"github.com/cgoheap/cgoheap/tests/real/stress"
)

// pluginVariable names the library that a server opens and closes; a process that has it in its environment is a server.
const pluginVariable = "CGOHEAP_SOAK_PLUGIN"

func TestMain(m *testing.M) {
	if plugin := os.Getenv(pluginVariable); plugin != "" {
		if err := serve(plugin); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// quiet is what a server says of itself at a quiet point. While it measures, nothing of the load runs.
type quiet struct {
	Units           int64 // of work, since the start
	Bad             int   // blocks whose content was not what it should have been
	Objects, Bytes  int64 // that the load's own count says are in its table
	FreedObjects    int64 // what was live with them, less what was live when they were freed
	FreedBytes      int64
	LiveObjects     int64 // after that
	LiveBytes       int64
	OwnBytes        int64
	Stacks, Lost    int64
	Threads         int
	Interpose       string
	GoFramesProblem string
	Failure         string // of the load itself
}

// serve runs a load of 64 goroutines whenever it's told to, until standard input ends. Its address is the first line it prints.
func serve(plugin string) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	stress.ReplaceLarge(0, 4096)
	l := &load{plugin: plugin}
	http.HandleFunc("POST /load", func(http.ResponseWriter, *http.Request) { l.start() })
	http.HandleFunc("POST /quiet", func(w http.ResponseWriter, _ *http.Request) { json.NewEncoder(w).Encode(l.quiet()) })
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	fmt.Println(listener.Addr())
	return http.Serve(listener, nil)
}

// goroutines is how many run the load.
const goroutines = 64

type load struct {
	plugin  string
	round   uint32
	stopped *atomic.Bool
	running sync.WaitGroup
	units   atomic.Int64
	failure atomic.Pointer[error]
}

// start starts the goroutines. All that they hold is freed when they stop, but for the blocks in the table of package stress.
func (l *load) start() {
	l.round++
	stopped := new(atomic.Bool)
	l.stopped = stopped
	for i := range uint32(goroutines) {
		l.running.Go(func() {
			var err error
			switch {
			case i == 0:
				err = l.libraries(stopped)
			case i%16 == 1:
				err = l.databases(stopped)
			case i%16 == 2:
				err = l.streams(stopped)
			case i == 3:
				err = l.cache(stopped)
			default:
				err = l.churn(stopped, l.round*goroutines+i)
			}
			if err != nil {
				l.failure.CompareAndSwap(nil, &err)
			}
		})
	}
}

// unit counts a unit of work and waits, so that the load leaves the machine to others most of the time.
func (l *load) unit() {
	l.units.Add(1)
	time.Sleep(100 * time.Millisecond)
}

// churn allocates, moves and frees blocks that goroutines share, on a thousand stacks.
func (l *load) churn(stopped *atomic.Bool, seed uint32) error {
	for ; !stopped.Load(); seed += 7919 {
		stress.Descend(seed, 10, seed, 100)
		l.unit()
	}
	return nil
}

// cache replaces a little in each unit of the 200 MB that a server holds.
func (l *load) cache(stopped *atomic.Bool) error {
	for first := uint32(0); !stopped.Load(); first += 10 {
		stress.ReplaceLarge(first, 10)
		l.unit()
	}
	return nil
}

// libraries opens and closes a library again and again.
func (l *load) libraries(stopped *atomic.Bool) error {
	for !stopped.Load() {
		if stress.Library(l.plugin, 2) != 0 {
			return fmt.Errorf("%s could not be opened and closed", l.plugin)
		}
		l.unit()
	}
	return nil
}

// databases fills databases in memory, each of them for ten units.
func (l *load) databases(stopped *atomic.Bool) error {
	for !stopped.Load() {
		if err := l.database(stopped); err != nil {
			return err
		}
	}
	return nil
}

func (l *load) database(stopped *atomic.Bool) (err error) {
	db, err := sql.Open("sqlite3", ":memory:")
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // each connection has a database of its own
	if _, err := db.Exec("create table words (number integer primary key, word text); create index by_word on words (word)"); err != nil {
		return err
	}
	for unit := 0; unit < 10 && !stopped.Load(); unit++ {
		for i := range 50 {
			if _, err := db.Exec("insert into words (word) values (?)", strings.Repeat(fmt.Sprint("word ", i), 1+i)); err != nil {
				return err
			}
		}
		var sum int
		if err := db.QueryRow("select sum(length(word)) from words where word like 'word 1%'").Scan(&sum); err != nil {
			return err
		}
		l.unit()
	}
	return nil
}

// streams compresses, each stream for ten units.
func (l *load) streams(stopped *atomic.Bool) error {
	text := []byte(strings.Repeat("some text to compress, ", 1000))
	for !stopped.Load() {
		w := zstd.NewWriter(io.Discard)
		for unit := 0; unit < 10 && !stopped.Load(); unit++ {
			if _, err := w.Write(text); err != nil {
				return err
			}
			l.unit()
		}
		if err := w.Close(); err != nil {
			return err
		}
	}
	return nil
}

// quiet stops the load, frees what is left and says what was live before and after.
func (l *load) quiet() (q quiet) {
	l.stopped.Store(true)
	l.running.Wait()
	var before, after cgoheap.Stats
	q.Objects, q.Bytes = stress.Live()
	cgoheap.ReadStats(&before)
	stress.FreeAll()
	cgoheap.ReadStats(&after)
	q.Units, q.Bad = l.units.Load(), stress.Bad()
	q.FreedObjects, q.FreedBytes = int64(before.LiveObjects-after.LiveObjects), int64(before.LiveBytes-after.LiveBytes)
	q.LiveObjects, q.LiveBytes = int64(after.LiveObjects), int64(after.LiveBytes)
	q.OwnBytes, q.Stacks = int64(after.OwnBytes), int64(after.Stacks)
	q.Lost = int64(after.Lost.SamplesLockBusy + after.Lost.FreesLockBusy + after.Lost.SamplesNoMemory + after.Lost.FreesUnseen)
	if threads, err := os.ReadDir("/proc/self/task"); err == nil {
		q.Threads = len(threads)
	}
	q.Interpose, q.GoFramesProblem = after.Interpose.String(), after.GoFramesProblem
	if err := l.failure.Load(); err != nil {
		q.Failure = (*err).Error()
	}
	return q
}
