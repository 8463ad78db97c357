//go:build interpose

package main

import _ "github.com/cgoheap/cgoheap/go/interpose"
