module github.com/cgoheap/cgoheap/tests/look

go 1.26.0

replace github.com/cgoheap/cgoheap => ../..

require (
	github.com/DataDog/zstd v1.5.7
	github.com/cgoheap/cgoheap v0.0.0-00010101000000-000000000000
	github.com/chromedp/cdproto v0.0.0-20250724212937-08a3db8b4327
	github.com/chromedp/chromedp v0.14.2
	github.com/google/pprof v0.0.0-20261016150608-1facf8f91b50
	github.com/smacker/go-tree-sitter v0.0.0-20240827094217-dd81d9e9be82
)

require (
	github.com/chromedp/sysutil v1.1.0 // indirect
	github.com/go-json-experiment/json v0.0.0-20260213210345-44df1a37e875 // indirect
	github.com/gobwas/httphead v0.1.0 // indirect
	github.com/gobwas/pool v0.2.1 // indirect
	github.com/gobwas/ws v1.4.0 // indirect
	github.com/mattn/go-sqlite3 v1.14.46
	golang.org/x/sys v0.34.0 // indirect
)
