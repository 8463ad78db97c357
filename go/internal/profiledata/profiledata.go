// Package profiledata reads profiles: as much of profile.proto as cgoheaptest and the tests need, so that the module needs no
// dependency. The reference for the format is google/pprof, which tests/compat uses.
package profiledata

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

// Profile is a profile with all references resolved.
type Profile struct {
	SampleTypes       []string // as "inuse_space/bytes"
	DefaultSampleType string
	PeriodType        string
	Period            int64
	TimeNanos         int64
	DurationNanos     int64
	Comments          []string
	DropFrames        string // functions that readers leave out, with all that they call: a pattern for whole names
	Samples           []Sample
}

// Sample is a stack and its values, in the order of SampleTypes.
type Sample struct {
	Stack  []Frame // leaf first, inlined functions before those that they are inlined into
	Values []int64
}

// Frame is one line of a location. Function is empty for a location that has none.
type Frame struct {
	Function  string
	File      string
	Line      int64
	StartLine int64
	Address   uint64
	Inlined   bool   // into the next frame
	Object    string // file that the address was loaded from; empty when it isn't known
	Offset    uint64 // of the address, in that file as it was loaded: what addr2line and objdump take
}

// Values of the four sample types of a heap profile.
type Values struct {
	AllocObjects, AllocSpace, InuseObjects, InuseSpace int64
}

// Sub returns v - o.
func (v Values) Sub(o Values) Values {
	return Values{v.AllocObjects - o.AllocObjects, v.AllocSpace - o.AllocSpace,
		v.InuseObjects - o.InuseObjects, v.InuseSpace - o.InuseSpace}
}

// Sum adds up the samples that match.
func (p *Profile) Sum(match func(*Sample) bool) Values {
	var sum Values
	for i := range p.Samples {
		s := &p.Samples[i]
		if len(s.Values) == 4 && match(s) {
			sum.AllocObjects += s.Values[0]
			sum.AllocSpace += s.Values[1]
			sum.InuseObjects += s.Values[2]
			sum.InuseSpace += s.Values[3]
		}
	}
	return sum
}

// Leaf matches samples whose innermost function has this name.
func Leaf(function string) func(*Sample) bool {
	return func(s *Sample) bool { return len(s.Stack) > 0 && s.Stack[0].Function == function }
}

// Has matches samples with a function on the stack whose name is function or ends with it behind a dot or slash.
func Has(function string) func(*Sample) bool {
	return func(s *Sample) bool {
		for _, f := range s.Stack {
			if f.Function == function || strings.HasSuffix(f.Function, "."+function) || strings.HasSuffix(f.Function, "/"+function) {
				return true
			}
		}
		return false
	}
}

// String formats a frame as "function file:line", without the folder of the file; "?" is a frame without a name.
func (f Frame) String() string {
	if f.Function == "" {
		return "?"
	}
	return fmt.Sprintf("%s %s:%d", f.Function, filepath.Base(f.File), f.Line)
}

// Decode reads a gzipped profile.
func Decode(data []byte) (*Profile, error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(z)
	if err != nil {
		return nil, err
	}
	return decode(raw)
}

type location struct {
	address uint64
	mapping uint64
	lines   []message
}

func decode(raw []byte) (*Profile, error) {
	top, err := parse(raw)
	if err != nil {
		return nil, err
	}
	var table []string
	for _, f := range top {
		if f.number == 6 {
			table = append(table, string(f.bytes))
		}
	}
	if len(table) == 0 || table[0] != "" {
		return nil, errors.New("string 0 is not empty")
	}
	var bad error
	text := func(index uint64) string {
		if index >= uint64(len(table)) {
			bad = fmt.Errorf("string %d of %d", index, len(table))
			return ""
		}
		return table[index]
	}
	valueType := func(data []byte) string {
		m, err := parse(data)
		if err != nil {
			bad = err
		}
		return text(m.get(1)) + "/" + text(m.get(2))
	}

	functions := map[uint64]message{}
	locations := map[uint64]location{}
	mappings := map[uint64]message{}
	p := &Profile{}
	var samples []message
	for _, f := range top {
		var m message
		if f.wire == 2 && (f.number >= 2 && f.number <= 5) {
			if m, err = parse(f.bytes); err != nil {
				return nil, err
			}
		}
		switch f.number {
		case 1:
			p.SampleTypes = append(p.SampleTypes, valueType(f.bytes))
		case 2:
			samples = append(samples, m)
		case 3:
			mappings[m.get(1)] = m
		case 4:
			l := location{address: m.get(3), mapping: m.get(2)}
			for _, line := range m {
				if line.number == 4 {
					lm, err := parse(line.bytes)
					if err != nil {
						return nil, err
					}
					l.lines = append(l.lines, lm)
				}
			}
			if m.get(1) != uint64(len(locations)+1) {
				return nil, fmt.Errorf("location %d is number %d", m.get(1), len(locations)+1)
			}
			locations[m.get(1)] = l
		case 5:
			if m.get(1) != uint64(len(functions)+1) {
				return nil, fmt.Errorf("function %d is number %d", m.get(1), len(functions)+1)
			}
			functions[m.get(1)] = m
		case 7:
			p.DropFrames = text(f.value)
		case 9:
			p.TimeNanos = int64(f.value)
		case 10:
			p.DurationNanos = int64(f.value)
		case 11:
			p.PeriodType = valueType(f.bytes)
		case 12:
			p.Period = int64(f.value)
		case 13:
			for _, index := range f.packed() {
				p.Comments = append(p.Comments, text(index))
			}
		case 14:
			p.DefaultSampleType = text(f.value)
		}
	}
	for _, m := range samples {
		var s Sample
		for _, f := range m {
			switch f.number {
			case 1:
				for _, id := range f.packed() {
					l, ok := locations[id]
					if !ok {
						return nil, fmt.Errorf("no location %d", id)
					}
					where := Frame{Address: l.address}
					if m, ok := mappings[l.mapping]; ok {
						where.Object = text(m.get(5))
						where.Offset = l.address - m.get(2) + m.get(4)
					}
					if len(l.lines) == 0 {
						s.Stack = append(s.Stack, where)
					}
					for i, line := range l.lines {
						fn, ok := functions[line.get(1)]
						if !ok {
							return nil, fmt.Errorf("no function %d", line.get(1))
						}
						frame := where
						frame.Function, frame.File, frame.StartLine = text(fn.get(2)), text(fn.get(4)), int64(fn.get(5))
						frame.Line, frame.Inlined = int64(line.get(2)), i+1 < len(l.lines)
						s.Stack = append(s.Stack, frame)
					}
				}
			case 2:
				for _, v := range f.packed() {
					s.Values = append(s.Values, int64(v))
				}
			}
		}
		if len(s.Values) != len(p.SampleTypes) {
			return nil, fmt.Errorf("a sample has %d values for %d types", len(s.Values), len(p.SampleTypes))
		}
		p.Samples = append(p.Samples, s)
	}
	return p, bad
}

// field is one field of a message: value for wire type 0, bytes for wire type 2.
type field struct {
	number, wire uint64
	value        uint64
	bytes        []byte
}

// packed returns the numbers of a repeated field, packed or not.
func (f field) packed() []uint64 {
	if f.wire == 0 {
		return []uint64{f.value}
	}
	var out []uint64
	for b := f.bytes; len(b) > 0; {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return out
		}
		out, b = append(out, v), b[n:]
	}
	return out
}

type message []field

// get returns the value of a number, 0 when it isn't there.
func (m message) get(number uint64) uint64 {
	for _, f := range m {
		if f.number == number {
			return f.value
		}
	}
	return 0
}

func parse(b []byte) (message, error) {
	var m message
	err := eachField(b, func(f field) error {
		m = append(m, f)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}
