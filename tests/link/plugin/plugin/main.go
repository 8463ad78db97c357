// Command plugin is opened by the host beside it.
package main

import "example.com/other"

// Leak loses 1,000 bytes of C memory.
func Leak() { other.Leak(1000) }

func main() {}
