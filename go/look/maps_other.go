//go:build !linux

package look

import "errors"

type owners struct {
	rss, goHeap, arenas, mmapped, mmappedFound, threads, code, files, own uint64
	nobody                                                                []piece
}

type piece struct{ start, end, rss uint64 }

type reader struct{}

func (*reader) readOwners(uint64) (*owners, error) { return nil, errors.ErrUnsupported }
