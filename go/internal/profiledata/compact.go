package profiledata

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Compact is a profile in as little memory as its file: each frame is there once, and a stack is a list of numbers. It is for
// programs that read their own profile, of which a [Profile] may be a hundred times the size: 20,000 stacks of 50 frames are
// 4 MB here.
type Compact struct {
	SampleTypes []string
	Frames      []Frame // no two of the same address, function and line
	Samples     []CompactSample
}

// CompactSample is a stack, as indices into Frames, leaf first, and its values in the order of SampleTypes.
type CompactSample struct {
	Stack  []uint32
	Values []int64
}

// DecodeCompact reads a gzipped profile.
func DecodeCompact(data []byte) (*Compact, error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(z)
	if err != nil {
		return nil, err
	}
	d := &compactDecoder{mappings: map[uint64]compactMapping{}, functions: map[uint64]compactFunction{}, locations: map[uint64]span{}}
	// Three times over the file, since what is referred to may come later than what refers to it.
	for _, do := range []func(field) error{d.tables, d.places, d.samples} {
		if err := eachField(raw, do); err != nil {
			return nil, err
		}
	}
	if len(d.table) == 0 || d.table[0] != "" {
		return nil, errors.New("string 0 is not empty")
	}
	for _, t := range d.types {
		unit := d.text(t[0]) + "/" + d.text(t[1])
		d.out.SampleTypes = append(d.out.SampleTypes, unit)
	}
	return &d.out, d.bad
}

type compactMapping struct{ start, offset, file uint64 }

type compactFunction struct{ name, file, startLine uint64 }

// span is a part of a list.
type span struct{ begin, end uint32 }

type compactDecoder struct {
	table     []string
	types     [][2]uint64
	mappings  map[uint64]compactMapping
	functions map[uint64]compactFunction
	locations map[uint64]span // in out.Frames
	frames    []uint32        // room for stacks, cut off piece by piece
	values    []int64
	out       Compact
	bad       error
}

func (d *compactDecoder) text(i uint64) string {
	if i >= uint64(len(d.table)) {
		d.bad = fmt.Errorf("string %d of %d", i, len(d.table))
		return ""
	}
	return d.table[i]
}

// tables reads what refers to nothing but strings.
func (d *compactDecoder) tables(f field) error {
	switch f.number {
	case 1:
		var t [2]uint64
		d.types = append(d.types, t)
		last := &d.types[len(d.types)-1]
		return eachField(f.bytes, func(f field) error {
			if f.number == 1 || f.number == 2 {
				last[f.number-1] = f.value
			}
			return nil
		})
	case 3:
		var id uint64
		var m compactMapping
		err := eachField(f.bytes, func(f field) error {
			switch f.number {
			case 1:
				id = f.value
			case 2:
				m.start = f.value
			case 4:
				m.offset = f.value
			case 5:
				m.file = f.value
			}
			return nil
		})
		d.mappings[id] = m
		return err
	case 5:
		var id uint64
		var fn compactFunction
		err := eachField(f.bytes, func(f field) error {
			switch f.number {
			case 1:
				id = f.value
			case 2:
				fn.name = f.value
			case 4:
				fn.file = f.value
			case 5:
				fn.startLine = f.value
			}
			return nil
		})
		d.functions[id] = fn
		return err
	case 6:
		d.table = append(d.table, string(f.bytes))
	}
	return nil
}

// places reads the locations.
func (d *compactDecoder) places(f field) error {
	if f.number != 4 {
		return nil
	}
	var id uint64
	var where Frame
	var lines [][2]uint64 // function, line
	err := eachField(f.bytes, func(f field) error {
		switch f.number {
		case 1:
			id = f.value
		case 2:
			if m, ok := d.mappings[f.value]; ok {
				where.Object = d.text(m.file)
				where.Offset = m.offset - m.start // the address is added below
			}
		case 3:
			where.Address = f.value
		case 4:
			var line [2]uint64
			err := eachField(f.bytes, func(f field) error {
				if f.number == 1 || f.number == 2 {
					line[f.number-1] = f.value
				}
				return nil
			})
			lines = append(lines, line)
			return err
		}
		return nil
	})
	if where.Object != "" {
		where.Offset += where.Address
	} else {
		where.Offset = 0
	}
	begin := uint32(len(d.out.Frames))
	if len(lines) == 0 {
		d.out.Frames = append(d.out.Frames, where)
	}
	for i, line := range lines {
		fn, ok := d.functions[line[0]]
		if !ok {
			return fmt.Errorf("no function %d", line[0])
		}
		frame := where
		frame.Function, frame.File, frame.StartLine = d.text(fn.name), d.text(fn.file), int64(fn.startLine)
		frame.Line, frame.Inlined = int64(line[1]), i+1 < len(lines)
		d.out.Frames = append(d.out.Frames, frame)
	}
	d.locations[id] = span{begin, uint32(len(d.out.Frames))}
	return err
}

// samples reads the samples.
func (d *compactDecoder) samples(f field) error {
	if f.number != 2 {
		return nil
	}
	const room = 1 << 14 // at a time: what doubles its room would copy it all
	var s CompactSample
	err := eachField(f.bytes, func(f field) error {
		switch f.number {
		case 1:
			return f.eachNumber(func(id uint64) error {
				at, ok := d.locations[id]
				if !ok {
					return fmt.Errorf("no location %d", id)
				}
				if cap(d.frames)-len(d.frames) < int(at.end-at.begin) {
					stack := d.frames
					d.frames = append(make([]uint32, 0, max(room, 2*len(stack))), stack...)
				}
				for i := at.begin; i < at.end; i++ {
					d.frames = append(d.frames, i)
				}
				return nil
			})
		case 2:
			return f.eachNumber(func(v uint64) error {
				if cap(d.values) == len(d.values) {
					values := d.values
					d.values = append(make([]int64, 0, max(room, 2*len(values))), values...)
				}
				d.values = append(d.values, int64(v))
				return nil
			})
		}
		return nil
	})
	s.Stack, d.frames = d.frames[:len(d.frames):len(d.frames)], d.frames[len(d.frames):]
	s.Values, d.values = d.values[:len(d.values):len(d.values)], d.values[len(d.values):]
	if err == nil && len(s.Values) != len(d.types) {
		err = fmt.Errorf("a sample has %d values for %d types", len(s.Values), len(d.types))
	}
	d.out.Samples = append(d.out.Samples, s)
	return err
}

// eachField calls do for each field of a message.
func eachField(b []byte, do func(field) error) error {
	for len(b) > 0 {
		f, rest, err := nextField(b)
		if err != nil {
			return err
		}
		if err := do(f); err != nil {
			return err
		}
		b = rest
	}
	return nil
}

// nextField reads the first field of a message.
func nextField(b []byte) (f field, rest []byte, err error) {
	key, n := binary.Uvarint(b)
	if n <= 0 {
		return f, nil, errors.New("malformed key")
	}
	b = b[n:]
	f = field{number: key >> 3, wire: key & 7}
	f.value, n = binary.Uvarint(b)
	if n <= 0 {
		return f, nil, errors.New("malformed number")
	}
	b = b[n:]
	switch f.wire {
	case 0:
	case 2:
		if f.value > uint64(len(b)) {
			return f, nil, errors.New("field longer than its message")
		}
		f.bytes, b = b[:f.value], b[f.value:]
	default:
		return f, nil, fmt.Errorf("wire type %d", f.wire)
	}
	return f, b, nil
}

// eachNumber calls do for the numbers of a repeated field, packed or not.
func (f field) eachNumber(do func(uint64) error) error {
	if f.wire == 0 {
		return do(f.value)
	}
	for b := f.bytes; len(b) > 0; {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return errors.New("malformed number")
		}
		if err := do(v); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}
