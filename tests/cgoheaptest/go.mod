module github.com/cgoheap/cgoheap/tests/cgoheaptest

go 1.26.0

tool golang.org/x/perf/cmd/benchstat

require (
	github.com/DataDog/zstd v1.5.7
	github.com/cgoheap/cgoheap v0.0.0
	github.com/mattn/go-sqlite3 v1.14.46
)

require (
	github.com/aclements/go-moremath v0.0.0-20210112150236-f10218a38794 // indirect
	golang.org/x/perf v0.0.0-20260908200009-22c9c6c9d4da // indirect
)

replace github.com/cgoheap/cgoheap => ../..
