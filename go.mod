module github.com/cgoheap/cgoheap

go 1.25
