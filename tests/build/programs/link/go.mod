// The programs of the link matrix, TestLink in tests/build.
module example.com/link

go 1.25

require (
	example.com/other v0.0.0
	github.com/cgoheap/cgoheap v0.0.0
)

replace (
	example.com/other => ./other
	github.com/cgoheap/cgoheap => ../../../..
)
