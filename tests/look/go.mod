module github.com/cgoheap/cgoheap/tests/look

go 1.26.0

replace github.com/cgoheap/cgoheap => ../..

require (
	github.com/DataDog/zstd v1.5.7
	github.com/cgoheap/cgoheap v0.0.0-00010101000000-000000000000
	github.com/smacker/go-tree-sitter v0.0.0-20240827094217-dd81d9e9be82
)

require (
	github.com/chromedp/cdproto v0.159.0 // indirect
	github.com/chromedp/chromedp v0.23.0 // indirect
	github.com/go-json-experiment/json v0.0.0-20260213210345-44df1a37e875 // indirect
)
