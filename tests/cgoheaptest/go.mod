module github.com/cgoheap/cgoheap/tests/cgoheaptest

go 1.26.0

require (
	github.com/DataDog/zstd v1.5.7
	github.com/cgoheap/cgoheap v0.0.0
	github.com/mattn/go-sqlite3 v1.14.46
)

replace github.com/cgoheap/cgoheap => ../..
