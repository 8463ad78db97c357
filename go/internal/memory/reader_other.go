//go:build !linux

package memory

import "errors"

type reader struct{}

func (*reader) owners(uint64) (*Owners, error) { return nil, errors.ErrUnsupported }

func (*reader) objects() []string { return nil }
