// Package sqlite is a user's test: it holds with go-sqlite3 v1.14.47, and fails with v1.14.46, which forgets a string.
package sqlite

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/cgoheap/cgoheap/go/cgoheaptest"
	_ "github.com/cgoheap/cgoheap/go/interpose"
	"github.com/mattn/go-sqlite3"
)

func TestFilename(t *testing.T) {
	defer cgoheaptest.VerifyNone(t)

	path := filepath.Join(t.TempDir(), "test.db")
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("create table numbers (n integer)"); err != nil {
		t.Fatal(err)
	}
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	err = conn.Raw(func(driver any) error {
		if got := driver.(*sqlite3.SQLiteConn).GetFilename(""); got != path {
			t.Errorf("filename %q, want %q", got, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func BenchmarkFilename(b *testing.B) {
	db, err := (&sqlite3.SQLiteDriver{}).Open(":memory:")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	conn := db.(*sqlite3.SQLiteConn)
	cgoheaptest.ReportAllocs(b)
	for b.Loop() {
		conn.GetFilename("")
	}
}
