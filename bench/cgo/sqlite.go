package main

import (
	"database/sql"
	"fmt"

	_ "github.com/mattn/go-sqlite3"
)

// sqlite runs the kinds of statements that SQLite's own speedtest1 is made of, in a database in memory: inserts with and
// without an index, selects by range, by text and by key, joins, updates, deletes.
func sqlite(rounds int) error {
	db, err := sql.Open("sqlite3", ":memory:")
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // each connection to :memory: is a database of its own
	for range rounds {
		if err := sqliteRound(db); err != nil {
			return err
		}
	}
	return nil
}

func sqliteRound(db *sql.DB) error {
	const n = 2000
	statements := []string{
		"create table plain (a integer, b integer, c text)",
		"create table indexed (a integer primary key, b integer, c text)",
		"create index by_b on indexed (b)",
		"create index by_c on indexed (c)",
	}
	for _, text := range statements {
		if _, err := db.Exec(text); err != nil {
			return err
		}
	}
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for _, table := range []string{"plain", "indexed"} {
		insert, err := tx.Prepare("insert into " + table + " values (?, ?, ?)")
		if err != nil {
			return err
		}
		for i := range n {
			b := i * 7919 % n
			if _, err := insert.Exec(i, b, fmt.Sprintf("number %d of %d", b, n)); err != nil {
				return err
			}
		}
		insert.Close()
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	queries := []struct {
		text  string
		times int
		step  int
	}{
		{"select count(*), avg(b) from plain where b >= ? and b < ? + 100", 20, 50},
		{"select count(*), avg(b) from plain where c like '%' || ? || '%' and ? >= 0", 10, 3},
		{"select count(*), max(c) from indexed where b >= ? and b < ? + 100", 300, 5},
		{"select b, c from indexed where a = ? and ? >= 0", 1000, 1},
		{"select count(*), max(plain.c) from plain join indexed on plain.b = indexed.a where plain.a >= ? and plain.a < ? + 50", 30, 20},
		{"select b, c from indexed order by c limit 1 + ? % 10 offset ? % 10", 20, 1},
	}
	for _, query := range queries {
		for i := range query.times {
			var a, b any
			if err := db.QueryRow(query.text, i*query.step, i*query.step).Scan(&a, &b); err != nil {
				return fmt.Errorf("%s: %w", query.text, err)
			}
		}
	}
	changes := []string{
		"update indexed set b = b + 1 where a % 3 = 0",
		"update plain set c = c || ' changed' where b % 5 = 0",
		"delete from indexed where c like '%9%'",
		"insert into indexed select a + 1000000, b, c from plain",
		"drop table plain",
		"drop table indexed",
	}
	for _, text := range changes {
		if _, err := db.Exec(text); err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
	}
	return nil
}
