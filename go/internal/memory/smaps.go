package memory

import "bytes"

// Mapping is one entry of /proc/self/smaps.
type Mapping struct {
	Start, End uint64
	Rights     string // as in "rw-p"
	Offset     uint64 // of Start in the file
	Path       string // of a file, or a name in brackets, or empty
	RSS        uint64 // bytes; at most End - Start
	Clean      uint64 // the part of RSS that is as in the file
}

// IsFile says whether the mapping is of a file, shared memory included.
func (m *Mapping) IsFile() bool { return m.Path != "" && m.Path[0] != '[' }

// ParseSmaps takes the text of /proc/self/smaps apart. The result lies in the room of what was parsed before, and strings
// that were there before are kept: measuring is not to make garbage in a program whose Go heap is small.
//
// The kernel writes the text a page at a time, and the process changes meanwhile. So a mapping may begin below the end of
// the last; it is cut there, and dropped when nothing is left. Mappings are in the order of their addresses then.
func ParseSmaps(text []byte, room []Mapping) []Mapping {
	mappings := room[:cap(room)]
	n, skip := 0, false
	keep := func(was string, is []byte) string {
		if was == string(is) { // which makes no copy
			return was
		}
		return string(is)
	}
	for rest := text; len(rest) > 0; {
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte("\n"))
		if len(line) == 0 {
			continue
		}
		if line[0] >= 'A' && line[0] <= 'Z' { // a field; addresses are in small letters
			if n == 0 || skip {
				continue
			}
			m := &mappings[n-1]
			if value, ok := bytes.CutPrefix(line, []byte("Rss:")); ok {
				m.RSS = min(kilobytes(value), m.End-m.Start)
			} else if value, ok := bytes.CutPrefix(line, []byte("Shared_Clean:")); ok {
				m.Clean = min(m.Clean+kilobytes(value), m.RSS)
			} else if value, ok := bytes.CutPrefix(line, []byte("Private_Clean:")); ok {
				m.Clean = min(m.Clean+kilobytes(value), m.RSS)
			}
			continue
		}
		// start-end rights offset device inode path
		start, line := number(line, 16)
		if len(line) == 0 || line[0] != '-' {
			continue
		}
		end, line := number(line[1:], 16)
		rights, line := word(line)
		offset, line := word(line)
		for range 2 {
			_, line = word(line)
		}
		path := bytes.TrimLeft(line, " ")
		if n == len(mappings) {
			mappings = append(mappings, Mapping{})
			mappings = mappings[:cap(mappings)]
		}
		first := start
		if n > 0 {
			start = max(start, mappings[n-1].End)
		}
		if start >= end {
			skip = true
			continue
		}
		skip = false
		m := &mappings[n]
		*m = Mapping{Start: start, End: end, Rights: keep(m.Rights, rights), Path: keep(m.Path, path)}
		if m.IsFile() {
			m.Offset, _ = number(offset, 16)
			m.Offset += start - first
		}
		n++
	}
	return mappings[:n]
}

func kilobytes(value []byte) uint64 {
	n, _ := number(bytes.TrimLeft(value, " \t"), 10)
	return n << 10
}

// word takes the next word off a line.
func word(line []byte) (first, rest []byte) {
	line = bytes.TrimLeft(line, " ")
	if i := bytes.IndexByte(line, ' '); i >= 0 {
		return line[:i], line[i:]
	}
	return line, nil
}

// number takes the number at the start of a line off it.
func number(line []byte, base uint64) (n uint64, rest []byte) {
	for len(line) > 0 {
		var digit uint64
		switch c := line[0]; {
		case c >= '0' && c <= '9':
			digit = uint64(c - '0')
		case c >= 'a' && c <= 'f':
			digit = uint64(c-'a') + 10
		default:
			digit = base
		}
		if digit >= base {
			break
		}
		n, line = n*base+digit, line[1:]
	}
	return n, line
}
