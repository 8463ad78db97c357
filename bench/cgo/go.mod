module github.com/cgoheap/cgoheap/bench/cgo

go 1.26.0

replace github.com/cgoheap/cgoheap => ../..

require (
	github.com/DataDog/zstd v1.5.7
	github.com/cgoheap/cgoheap v0.0.0-00010101000000-000000000000
	github.com/mattn/go-sqlite3 v1.14.46
	github.com/smacker/go-tree-sitter v0.0.0-20240827094217-dd81d9e9be82
)
