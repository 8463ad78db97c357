package main

/*
#include <stdlib.h>

static void pair(size_t size) {
	char *volatile block = malloc(size);
	*block = 1;
	free(block);
}
*/
import "C"

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/DataDog/zstd"
	sitter "github.com/smacker/go-tree-sitter"
	"github.com/smacker/go-tree-sitter/golang"
)

// pairs makes one call of C for each malloc and free.
func pairs(rounds int) error {
	for range rounds {
		C.pair(64)
	}
	return nil
}

// source is a large file of Go's own: text that is there on every machine that can build this.
func source() ([]byte, error) {
	return os.ReadFile(filepath.Join(runtime.GOROOT(), "src/reflect/value.go"))
}

// compress makes and reads zstd frames and streams of 128 KiB.
func compress(rounds int) error {
	text, err := source()
	if err != nil {
		return err
	}
	text = text[:min(len(text), 128<<10)]
	for range rounds {
		packed, err := zstd.CompressLevel(nil, text, 3)
		if err != nil {
			return err
		}
		plain, err := zstd.Decompress(nil, packed)
		if err != nil {
			return err
		}
		if !bytes.Equal(plain, text) {
			return fmt.Errorf("a frame came back as %d bytes, not %d", len(plain), len(text))
		}
		w := zstd.NewWriterLevel(io.Discard, 3)
		if _, err := w.Write(text); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
	}
	return nil
}

// parse makes the syntax tree of a Go file, of some hundred thousand small blocks.
func parse(rounds int) error {
	text, err := source()
	if err != nil {
		return err
	}
	parser := sitter.NewParser()
	parser.SetLanguage(golang.GetLanguage())
	for range rounds {
		tree, err := parser.ParseCtx(context.Background(), nil, text)
		if err != nil {
			return err
		}
		if tree.RootNode().ChildCount() == 0 {
			return fmt.Errorf("an empty tree")
		}
		tree.Close()
	}
	return nil
}
