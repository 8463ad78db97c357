// Package linux_arm64 holds the built archive, libcgoheap.a, and links it into the program.
//
// It is a package of its own for two reasons. `go mod vendor` keeps only folders that hold an imported package. And Go's
// build cache looks at the headers of a package's own folder, but never at an archive that LDFLAGS name: digest.h, which
// `make build` writes beside the archive, makes the cache notice a new archive, and [Digest] carries the news to every
// program that links it. Without it `go build` keeps a stale program and `go test` answers "(cached)".
package linux_arm64
