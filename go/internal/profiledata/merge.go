package profiledata

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Merge puts gzipped profiles with the same sample types into one, gzipped. Strings, mappings, functions and locations that
// several have are there once. Period, time and default sample type are those of the first. Samples stay apart, which
// readers add up.
func Merge(profiles ...[]byte) ([]byte, error) {
	m := merger{strings: map[string]uint64{}, mappings: map[string]uint64{}, functions: map[string]uint64{}, locations: map[string]uint64{}}
	m.string("")
	for _, data := range profiles {
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, err
		}
		raw, err := io.ReadAll(z)
		if err != nil {
			return nil, err
		}
		if err := m.add(raw); err != nil {
			return nil, err
		}
	}
	for _, s := range m.table {
		m.rest = appendBytes(m.rest, 6, []byte(s))
	}
	var out bytes.Buffer
	z, _ := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	z.Write(slices.Concat(m.head, m.rest))
	if err := z.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// merger holds the profile that is being made. The maps go from a message's bytes without its id to its id, or from a string
// to its index.
type merger struct {
	head, rest                     []byte // sample types and what comes once; all the others
	strings                        map[string]uint64
	table                          []string
	mappings, functions, locations map[string]uint64
	types                          []string
	drops                          bool // drop_frames are written
}

func (m *merger) string(s string) uint64 {
	i, known := m.strings[s]
	if !known {
		i = uint64(len(m.table))
		m.strings[s] = i
		m.table = append(m.table, s)
	}
	return i
}

// add appends one profile.
func (m *merger) add(raw []byte) error {
	top, err := parse(raw)
	if err != nil {
		return err
	}
	var table []string
	for _, f := range top {
		if f.number == 6 {
			table = append(table, string(f.bytes))
		}
	}
	var bad error
	text := func(i uint64) uint64 {
		if i >= uint64(len(table)) {
			bad = fmt.Errorf("string %d of %d", i, len(table))
			return 0
		}
		return m.string(table[i])
	}
	// copied returns a message in which the strings at these field numbers, and the ids, have their new values; the id,
	// field 1 of mappings, functions and locations, is left out where without is set.
	copied := func(msg message, without bool, change map[uint64]func(uint64) uint64) (out []byte) {
		for _, f := range msg {
			if without && f.number == 1 {
				continue
			}
			if f.wire == 2 {
				out = appendBytes(out, f.number, f.bytes)
				continue
			}
			v := f.value
			if to := change[f.number]; to != nil {
				v = to(v)
			}
			if v != 0 {
				out = appendNumber(out, f.number, v)
			}
		}
		return out
	}
	strings := func(numbers ...uint64) map[uint64]func(uint64) uint64 {
		change := map[uint64]func(uint64) uint64{}
		for _, n := range numbers {
			change[n] = text
		}
		return change
	}
	// intern returns the id of a message, which is written when it is new.
	intern := func(known map[string]uint64, number uint64, body []byte) uint64 {
		id, ok := known[string(body)]
		if !ok {
			id = uint64(len(known) + 1)
			known[string(body)] = id
			m.rest = appendBytes(m.rest, number, append(appendNumber(nil, 1, id), body...))
		}
		return id
	}
	// The order of top is not the order of need: mappings and functions first, then locations, then samples.
	newID := map[uint64]map[uint64]uint64{3: {}, 4: {}, 5: {}}
	renumber := func(number uint64) func(uint64) uint64 {
		return func(id uint64) uint64 {
			to, ok := newID[number][id]
			if !ok && id != 0 {
				bad = fmt.Errorf("field %d: no id %d", number, id)
			}
			return to
		}
	}
	each := func(number uint64, do func(field, message)) {
		for _, f := range top {
			if f.number == number && f.wire == 2 {
				msg, err := parse(f.bytes)
				if err != nil {
					bad = err
				}
				do(f, msg)
			}
		}
	}
	each(3, func(_ field, msg message) {
		newID[3][msg.get(1)] = intern(m.mappings, 3, copied(msg, true, strings(5, 6)))
	})
	each(5, func(_ field, msg message) {
		newID[5][msg.get(1)] = intern(m.functions, 5, copied(msg, true, strings(2, 3, 4)))
	})
	each(4, func(_ field, msg message) {
		var body []byte
		for _, f := range msg {
			switch {
			case f.number == 4 && f.wire == 2:
				line, err := parse(f.bytes)
				if err != nil {
					bad = err
				}
				body = appendBytes(body, 4, copied(line, false, map[uint64]func(uint64) uint64{1: renumber(5)}))
			case f.number == 1:
			default:
				body = append(body, copied(message{f}, false, map[uint64]func(uint64) uint64{2: renumber(3)})...)
			}
		}
		newID[4][msg.get(1)] = intern(m.locations, 4, body)
	})
	each(2, func(_ field, msg message) {
		var ids, body []byte
		for _, f := range msg {
			switch f.number {
			case 1:
				for _, id := range f.packed() {
					ids = binary.AppendUvarint(ids, renumber(4)(id))
				}
			case 3:
				label, err := parse(f.bytes)
				if err != nil {
					bad = err
				}
				body = appendBytes(body, 3, copied(label, false, strings(1, 2, 4)))
			default:
				body = append(body, copied(message{f}, false, nil)...)
			}
		}
		m.rest = appendBytes(m.rest, 2, append(appendBytes(nil, 1, ids), body...))
	})
	var types []string
	each(1, func(_ field, msg message) {
		if msg.get(1) < uint64(len(table)) && msg.get(2) < uint64(len(table)) {
			types = append(types, table[msg.get(1)]+"/"+table[msg.get(2)])
		}
	})
	first := m.types == nil
	if first {
		m.types = types
	} else if !slices.Equal(m.types, types) {
		return fmt.Errorf("sample types %q and %q", m.types, types)
	}
	for _, f := range top {
		switch f.number {
		case 1, 11:
			if first {
				msg, err := parse(f.bytes)
				if err != nil {
					return err
				}
				m.head = appendBytes(m.head, f.number, copied(msg, false, strings(1, 2)))
			}
		case 14:
			if first {
				m.head = appendNumber(m.head, 14, text(f.value))
			}
		case 7: // of the first that has it: names of other languages look otherwise
			if !m.drops {
				m.drops = true
				m.head = appendNumber(m.head, 7, text(f.value))
			}
		case 9, 10, 12:
			if first {
				m.head = appendNumber(m.head, f.number, f.value)
			}
		case 13:
			for _, i := range f.packed() {
				m.head = appendNumber(m.head, 13, text(i))
			}
		}
	}
	if len(table) == 0 {
		return errors.New("no strings")
	}
	return bad
}

func appendNumber(out []byte, number, value uint64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(out, number<<3), value)
}

func appendBytes(out []byte, number uint64, value []byte) []byte {
	out = binary.AppendUvarint(out, number<<3|2)
	return append(binary.AppendUvarint(out, uint64(len(value))), value...)
}
