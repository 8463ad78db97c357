module github.com/cgoheap/cgoheap/tests/build/programs/variants

go 1.26.0

replace github.com/cgoheap/cgoheap => ../../../..

require (
	github.com/cgoheap/cgoheap v0.0.0
	github.com/google/pprof v0.0.0-20261016150608-1facf8f91b50
)
