//go:build capture

package main

import (
	_ "github.com/cgoheap/cgoheap/go"
	_ "github.com/cgoheap/cgoheap/go/interpose"
)
