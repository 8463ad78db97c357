// go-sqlite3, at a version that leaks: GetFilename of v1.14.46 hands SQLite a C.CString that nobody frees. Version 1.14.47
// frees it: scripts/test-real.sh runs this test again with fixed.mod, and says so in CGOHEAP_SQLITE_FIXED.
package sqlite_test

import (
	"context"
	"database/sql"
	"os"
	"strings"
	"testing"

	sqlite3 "github.com/mattn/go-sqlite3"

	"github.com/cgoheap/cgoheap/tests/real/heap"
)

func open(t *testing.T) *sql.Conn {
	t.Helper()
	db, err := sql.Open("sqlite3", t.TempDir()+"/test.db")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	conn, err := db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

//go:noinline
func askFilenames(t *testing.T, conn *sql.Conn, n int) {
	err := conn.Raw(func(driver any) error {
		for range n {
			if name := driver.(*sqlite3.SQLiteConn).GetFilename("main"); !strings.HasSuffix(name, "/test.db") {
				t.Errorf("file name %q", name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestGetFilenameLeaksOneStringEachCall(t *testing.T) {
	conn := open(t)
	const n = 1000
	askFilenames(t, conn, n)
	p := heap.Now(t)
	leaked := int64(n)
	if os.Getenv("CGOHEAP_SQLITE_FIXED") != "" {
		leaked = 0
	}
	p.Expect(t, leaked, leaked*int64(len("main\x00")), "C.CString", "go-sqlite3.(*SQLiteConn).GetFilename", "askFilenames")
	p.Expect(t, leaked, leaked*int64(len("main\x00")), "askFilenames")
	if got := p.Sum("askFilenames").AllocObjects; got < n {
		t.Errorf("%d allocations were seen: nothing was tested", got)
	}
}

//go:noinline
func fill(t *testing.T, conn *sql.Conn) {
	for _, text := range []string{"create table parts (id integer primary key, name text)",
		"with recursive n(i) as (select 1 union all select i+1 from n where i < 2000) insert into parts select i, hex(randomblob(100)) from n"} {
		if _, err := conn.ExecContext(context.Background(), text); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSQLiteItselfIsSeenAndClosingFreesIt(t *testing.T) {
	db, err := sql.Open("sqlite3", t.TempDir()+"/test.db")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	fill(t, conn)
	p := heap.Now(t)
	if got := p.Sum("sqlite3MemMalloc", "sqlite3_step", "fill"); got.InUseObjects == 0 || got.AllocObjects < 100 {
		t.Errorf("sqlite3MemMalloc: %+v\n%s", got, p.Text("fill"))
	}
	conn.Close()
	db.Close()
	heap.Now(t).Expect(t, 0, 0, "fill")
	heap.ExpectWhole(t)
}
