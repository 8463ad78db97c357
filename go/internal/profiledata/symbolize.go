package profiledata

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Object is a file that code was loaded from, as a profile describes it: its executable part lay at Start.
type Object struct {
	Path    string
	BuildID string // hexadecimal; empty when the file has none
	Start   uint64
}

// Line is a function and a place in it.
type Line struct {
	Function string
	File     string
	Line     int64
}

// Symbolize gives names to the locations of a gzipped profile that have none. name is asked for the lines of an address, innermost
// first, as they are inlined into each other; nil leaves it bare, and an empty slice, which is not nil, takes it out of the
// samples. What has names keeps them. It returns the profile, gzipped, and how many locations were bare and how many of them
// have names now or were taken out.
func Symbolize(data []byte, name func(object Object, address uint64) []Line) (out []byte, bare, named int, err error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, 0, 0, err
	}
	raw, err := io.ReadAll(z)
	if err != nil {
		return nil, 0, 0, err
	}
	top, err := parse(raw)
	if err != nil {
		return nil, 0, 0, err
	}
	var table []string
	objects, functions := map[uint64]Object{}, uint64(0)
	for _, f := range top {
		if f.number == 6 {
			table = append(table, string(f.bytes))
		}
	}
	text := func(i uint64) string {
		if i >= uint64(len(table)) {
			err = fmt.Errorf("string %d of %d", i, len(table))
			return ""
		}
		return table[i]
	}
	for _, f := range top {
		if f.number != 3 && f.number != 5 {
			continue
		}
		m, bad := parse(f.bytes)
		if bad != nil {
			return nil, 0, 0, bad
		}
		if f.number == 3 {
			objects[m.get(1)] = Object{text(m.get(5)), text(m.get(6)), m.get(2)}
		} else {
			functions = max(functions, m.get(1))
		}
	}
	if len(table) == 0 {
		err = errors.New("no strings")
	}
	if err != nil {
		return nil, 0, 0, err
	}
	// New strings and functions go behind those that are there.
	var body, more []byte
	strings, known := map[string]uint64{}, map[Line]uint64{}
	number := func(s string) uint64 {
		i, ok := strings[s]
		if !ok {
			i = uint64(len(table) + len(strings))
			strings[s] = i
			more = appendBytes(more, 6, []byte(s))
		}
		return i
	}
	locations, gone := map[int][]byte{}, map[uint64]bool{} // locations by place in top, those taken out by id
	for at, f := range top {
		if f.number == 4 {
			m, bad := parse(f.bytes)
			if bad != nil {
				return nil, 0, 0, bad
			}
			hasLines := false
			for _, part := range m {
				hasLines = hasLines || part.number == 4
			}
			if object, ok := objects[m.get(2)]; !hasLines {
				bare++
				var lines []Line
				if ok {
					lines = name(object, m.get(3))
				}
				if lines != nil {
					named++
				}
				gone[m.get(1)] = lines != nil && len(lines) == 0
				content := append([]byte(nil), f.bytes...)
				for _, line := range lines {
					function := Line{Function: line.Function, File: line.File}
					id, ok := known[function]
					if !ok {
						functions++
						id = functions
						known[function] = id
						message := appendNumber(nil, 1, id)
						message = appendNumber(message, 2, number(line.Function))
						message = appendNumber(message, 3, number(line.Function))
						message = appendNumber(message, 4, number(line.File))
						more = appendBytes(more, 5, message)
					}
					content = appendBytes(content, 4, appendNumber(appendNumber(nil, 1, id), 2, uint64(line.Line)))
				}
				locations[at] = content
			}
		}
	}
	for at, f := range top {
		content, changed := locations[at]
		switch {
		case f.wire == 0:
			body = appendNumber(body, f.number, f.value)
			continue
		case f.number == 2:
			if content, err = withoutLocations(f.bytes, gone); err != nil {
				return nil, 0, 0, err
			}
		case !changed:
			content = f.bytes
		}
		body = appendBytes(body, f.number, content)
	}
	var packed bytes.Buffer
	w, _ := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
	w.Write(body)
	w.Write(more)
	if err := w.Close(); err != nil {
		return nil, 0, 0, err
	}
	return packed.Bytes(), bare, named, nil
}

// withoutLocations returns a sample without the locations that are gone.
func withoutLocations(sample []byte, gone map[uint64]bool) ([]byte, error) {
	m, err := parse(sample)
	if err != nil {
		return nil, err
	}
	var ids, rest []byte
	for _, f := range m {
		switch {
		case f.number == 1:
			for _, id := range f.packed() {
				if !gone[id] {
					ids = binary.AppendUvarint(ids, id)
				}
			}
		case f.wire == 0:
			rest = appendNumber(rest, f.number, f.value)
		default:
			rest = appendBytes(rest, f.number, f.bytes)
		}
	}
	return append(appendBytes(nil, 1, ids), rest...), nil
}
