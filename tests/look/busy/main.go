// Busy is a service that is well and has much to do: 64 workers that compress, query a database and use caches which turn over, at
// a load that rises and falls, with bursts. It serves the page on a port of its own, which it prints, and works in the folder of its first
// argument until it is ended. Every cache has a limit or a lifetime, and what isn't cached is freed by who made it, or by Go's finalizers.
package main

import (
	"bytes"
	"database/sql"
	"fmt"
	"log"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/DataDog/zstd"
	_ "github.com/mattn/go-sqlite3"

	_ "github.com/cgoheap/cgoheap/go/interpose"
	_ "github.com/cgoheap/cgoheap/go/look/register"
	"github.com/cgoheap/cgoheap/tests/look/sick/cmem"
)

const (
	workers = 64
	// wave is the length of one rise and fall of the load.
	wave = 9 * time.Minute
	// burstEvery is the time between two bursts, on average.
	burstEvery = 40 * time.Second
	// mostPages and pageLife bound the cache of pages, which is of C memory; mostAnswers that of answers, which is of Go's.
	mostPages   = 3000
	pageLife    = 45 * time.Second
	mostAnswers = 500
	// mostRows bounds the table.
	mostRows = 20_000
)

func main() {
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(os.Args[1], "orders.db")+"?_journal_mode=WAL&_busy_timeout=10000&_synchronous=OFF")
	check(err)
	db.SetMaxOpenConns(8)
	db.SetConnMaxLifetime(time.Minute)
	_, err = db.Exec("CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT, goods BLOB)")
	check(err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	s := &service{db: db, began: time.Now(), pages: map[int]*entry{}, answers: map[int][]byte{}}
	for i := range workers {
		go s.work(rand.New(rand.NewPCG(12, uint64(i))))
	}
	go s.sweep()
	go s.bursts(rand.New(rand.NewPCG(12, workers)))
	fmt.Printf("http://%s\n", listener.Addr())
	log.Fatal(http.Serve(listener, nil))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

type service struct {
	db    *sql.DB
	began time.Time

	mu      sync.Mutex // protects both caches
	pages   map[int]*entry
	answers map[int][]byte
}

// entry is a page in the cache.
type entry struct {
	page cmem.Blocks
	used time.Time
}

// load is between 0.3 and 1.
func (s *service) load() float64 {
	return 0.65 - 0.35*math.Cos(2*math.Pi*float64(time.Since(s.began))/float64(wave))
}

// work serves one request after the other.
func (s *service) work(r *rand.Rand) {
	for {
		switch n := r.IntN(10); {
		case n < 3:
			s.compress(r, 1<<(10+r.IntN(9)))
		case n < 5:
			s.order(r)
		case n < 6:
			s.report(r)
		case n < 9:
			s.page(r)
		default:
			transient(r)
		}
		time.Sleep(time.Duration(r.ExpFloat64() * float64(300*time.Millisecond) / s.load()))
	}
}

// compress packs something, and keeps the answer.
func (s *service) compress(r *rand.Rand, bytes int) {
	plain := text(r, bytes)
	packed, err := zstd.CompressLevel(nil, plain, 1+r.IntN(4))
	check(err)
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.answers {
		if len(s.answers) < mostAnswers {
			break
		}
		delete(s.answers, key)
	}
	s.answers[r.IntN(10*mostAnswers)] = packed
}

func text(r *rand.Rand, length int) []byte {
	var b bytes.Buffer
	for b.Len() < length {
		fmt.Fprintf(&b, "%d goods of kind %x, ", r.IntN(100), r.Uint32())
	}
	return b.Bytes()
}

// order writes a row, and deletes old ones.
func (s *service) order(r *rand.Rand) {
	result, err := s.db.Exec("INSERT INTO orders (customer, goods) VALUES (?, ?)", fmt.Sprint("customer ", r.IntN(1000)), text(r, 100+r.IntN(2000)))
	check(err)
	if id, err := result.LastInsertId(); err == nil && id%100 == 0 {
		_, err = s.db.Exec("DELETE FROM orders WHERE id < ?", id-mostRows)
		check(err)
	}
}

// report sorts some rows in memory.
func (s *service) report(r *rand.Rand) {
	rows, err := s.db.Query("SELECT customer, goods FROM orders WHERE id % 7 = ? ORDER BY customer, goods LIMIT 200", r.IntN(7))
	check(err)
	defer rows.Close()
	for rows.Next() {
		var customer string
		var goods []byte
		check(rows.Scan(&customer, &goods))
	}
	check(rows.Err())
}

// page takes a page from the cache, or makes it.
func (s *service) page(r *rand.Rand) {
	// Some pages are asked for often, most rarely.
	key := int(math.Abs(r.NormFloat64()) * mostPages / 2)
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.pages[key]; e != nil {
		e.used = time.Now()
		return
	}
	for old, e := range s.pages {
		if len(s.pages) < mostPages {
			break
		}
		e.page.Empty(math.MaxInt32)
		delete(s.pages, old)
	}
	s.pages[key] = &entry{cmem.Fill(1 + r.IntN(64)), time.Now()}
}

// sweep drops pages that were not asked for lately.
func (s *service) sweep() {
	for range time.Tick(time.Second) {
		s.mu.Lock()
		for key, e := range s.pages {
			if time.Since(e.used) > pageLife {
				e.page.Empty(math.MaxInt32)
				delete(s.pages, key)
			}
		}
		s.mu.Unlock()
	}
}

// document has C memory that goes with it, or when it is closed.
type document struct{ cmem.Blocks }

// transient works with a document; some are left to the garbage collector.
func transient(r *rand.Rand) {
	d := &document{cmem.Fill(10 + r.IntN(200))}
	time.Sleep(time.Duration(r.IntN(20)) * time.Millisecond)
	if r.IntN(4) > 0 {
		d.Empty(math.MaxInt32)
		return
	}
	runtime.AddCleanup(d, func(b cmem.Blocks) { b.Empty(math.MaxInt32) }, d.Blocks)
}

// bursts: many requests at once, now and then, which take much memory for some seconds.
func (s *service) bursts(r *rand.Rand) {
	for {
		time.Sleep(time.Duration(r.ExpFloat64() * float64(burstEvery)))
		var wait sync.WaitGroup
		for i := range 4 + r.IntN(workers) {
			wait.Go(func() {
				r := rand.New(rand.NewPCG(13, uint64(i)))
				held := cmem.Fill(2000)
				goods := strings.Repeat(string(text(r, 1000)), 300)
				_, err := zstd.Compress(nil, []byte(goods))
				check(err)
				time.Sleep(time.Duration(500+r.IntN(2000)) * time.Millisecond)
				held.Empty(math.MaxInt32)
			})
		}
		wait.Wait()
	}
}
