// Package zlib calls the system's shared zlib, which knows nothing of cgoheap.
package zlib

/*
#cgo LDFLAGS: -lz
#include <stdlib.h>
#include <zlib.h>

static z_stream *start(void) {
    z_stream *stream = calloc(1, sizeof *stream);
    if (stream != NULL && deflateInit(stream, Z_DEFAULT_COMPRESSION) != Z_OK) {
        free(stream);
        stream = NULL;
    }
    return stream;
}

static void end(z_stream *stream) {
    deflateEnd(stream);
    free(stream);
}
*/
import "C"

// Stream is a deflate stream.
type Stream struct{ c *C.z_stream }

// Start makes a stream.
func Start() Stream { return Stream{C.start()} }

// End frees it.
func (s Stream) End() { C.end(s.c) }
