// Package include holds cgoheap.h. It is a Go package only so that `go mod vendor` keeps the folder.
package include
