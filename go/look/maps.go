//go:build linux

package look

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"unsafe"

	"github.com/cgoheap/cgoheap/go/internal/capi"
)

// mapping is one entry of /proc/self/smaps.
type mapping struct {
	start, end uint64
	rights     string // as in "rw-p"
	path       string
	rss        uint64
}

// reader keeps what reading needs from one time to the next: measuring is not to make garbage in a program whose Go heap
// is small, or the collector would run because it is watched.
type reader struct {
	raw      []byte
	mappings []mapping
	resident []byte
	own      []capi.Range
	exec     map[string]bool
	nobody   []piece
}

// readMappings reads /proc/self/smaps.
func (r *reader) readMappings() error {
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return err
	}
	defer f.Close()
	r.raw = r.raw[:0]
	for {
		if len(r.raw) == cap(r.raw) {
			r.raw = slices.Grow(r.raw, 64<<10)
		}
		n, err := f.Read(r.raw[len(r.raw):cap(r.raw)])
		r.raw = r.raw[:len(r.raw)+n]
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	r.parseMappings()
	return nil
}

// parseMappings takes r.raw apart. Strings that were there before are kept.
func (r *reader) parseMappings() {
	n, skip := 0, false
	keep := func(was string, is []byte) string {
		if was == string(is) { // which makes no copy
			return was
		}
		return string(is)
	}
	for rest := r.raw; len(rest) > 0; {
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte("\n"))
		if len(line) == 0 {
			continue
		}
		if line[0] >= 'A' && line[0] <= 'Z' { // a field; addresses are in small letters
			if value, ok := bytes.CutPrefix(line, []byte("Rss:")); ok && n > 0 && !skip {
				kb, _ := number(bytes.TrimLeft(value, " \t"), 10)
				m := &r.mappings[n-1]
				m.rss = min(kb<<10, m.end-m.start)
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
		for range 3 {
			_, line = word(line)
		}
		path := bytes.TrimLeft(line, " ")
		if n == len(r.mappings) {
			r.mappings = append(r.mappings, mapping{})
		}
		// The kernel lists them a page at a time: one that has grown meanwhile may begin below the end of the last.
		if n > 0 {
			start = max(start, r.mappings[n-1].end)
		}
		if start >= end {
			skip = true
			continue
		}
		skip = false
		m := &r.mappings[n]
		*m = mapping{start: start, end: end, rights: keep(m.rights, rights), path: keep(m.path, path)}
		n++
	}
	r.mappings = r.mappings[:n]
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

// owners says whose the resident memory of the process is, in bytes, as far as its mappings tell.
type owners struct {
	rss          uint64 // of all mappings: what the rest adds up to
	goHeap       uint64
	arenas       uint64 // of malloc: the break and the heaps of its other arenas
	mmapped      uint64 // of malloc: large blocks, each a mapping of its own
	mmappedFound uint64 // their sizes, resident or not
	threads      uint64 // stacks
	code         uint64 // the program and its libraries: code and variables
	files        uint64 // other files and shared memory
	own          uint64 // cgoheap's tables
	nobody       []piece
}

// piece is a stretch of memory that nobody is known to own.
type piece struct{ start, end, rss uint64 }

// heapObject tells where Go's heap is: arenas lie one behind the other from a base that the runtime chooses.
var heapObject = new([64]byte)

const (
	// arenaRegion: Go looks for room for its heap at multiples of 1 TiB (plus a constant), far below the kernel's own choice.
	arenaRegion = 40
	// heapMax is glibc's HEAP_MAX_SIZE: the heaps of arenas other than the first are aligned at it.
	heapMax = 64 << 20
	// maxProbes bounds the look for headers of malloc, in reads of 32 bytes.
	maxProbes = 100_000
)

// readOwners goes through the mappings. Nothing tells who made an anonymous mapping, so each is recognised by something only
// its owner does: see the comments below. What can't be recognised stays nobody's.
// mmapped is how much malloc has in mappings of their own.
func (r *reader) readOwners(mmapped uint64) (*owners, error) {
	if err := r.readMappings(); err != nil {
		return nil, err
	}
	mappings := r.mappings
	o := &owners{nobody: r.nobody[:0]}
	defer func() { r.nobody = o.nobody }()
	mem, err := os.Open("/proc/self/mem")
	if err == nil {
		defer mem.Close()
	}
	look := &prober{mem: mem, left: maxProbes, mmapped: mmapped}
	r.own = capi.OwnRanges(r.own)
	own := r.own
	slices.SortFunc(own, func(a, b capi.Range) int { return int(int64(a.Start) - int64(b.Start)) })
	if r.exec == nil {
		r.exec = map[string]bool{}
	}
	clear(r.exec)
	executable := r.exec
	for i := range mappings {
		if m := &mappings[i]; len(m.rights) > 2 && m.rights[2] == 'x' {
			executable[m.path] = true
		}
	}
	goRegion := uint64(uintptr(unsafe.Pointer(heapObject))) >> arenaRegion
	for i := range mappings {
		m := &mappings[i]
		o.rss += m.rss
		if m.rss == 0 {
			continue
		}
		var before *mapping
		if i > 0 && mappings[i-1].end == m.start {
			before = &mappings[i-1]
		}
		switch {
		case m.path == "[heap]": // the break, which only malloc moves
			o.arenas += m.rss
		case m.path == "[stack]":
			o.threads += m.rss
		case m.path != "" && m.path[0] == '/' && executable[m.path]:
			o.code += m.rss
		case m.path != "" && (m.path[0] == '/' || m.path[0] != '['):
			o.files += m.rss
		case m.path == "[vdso]" || m.path == "[vvar]" || m.path == "[vvar_vclock]":
			o.code += m.rss
		case m.start>>arenaRegion == goRegion || strings.HasPrefix(m.path, "[anon: Go: heap"):
			o.goHeap += m.rss
		case m.path == "" && before != nil && before.path != "" && before.path[0] == '/' && executable[before.path] &&
			before.rights == "rw-p" && m.rights == "rw-p":
			// The variables that begin as zero (.bss) follow the others, with no name of their own.
			o.code += m.rss
		case before != nil && before.path == "" && before.rights == "---p" && before.end-before.start <= 64<<10 &&
			m.rights == "rw-p":
			// A thread's stack: a small guard lies below it.
			o.threads += m.rss
		default:
			o.divide(m, own, look, r.residency(m))
		}
	}
	return o, nil
}

// divide finds out whose the parts of an anonymous mapping are: neighbours of different owners are one for the kernel.
func (o *owners) divide(m *mapping, own []capi.Range, look *prober, resident pages) {
	claimed := uint64(0)
	rest := m.start // what lies below is settled
	unclaimed := uint64(0)
	nobodys := func(end uint64) {
		if end > rest {
			if rss := resident.bytes(rest, end); rss > 0 {
				o.nobody = append(o.nobody, piece{rest, end, rss})
				unclaimed += rss
			}
		}
		rest = max(rest, end)
	}
	claim := func(to *uint64, start, end uint64) {
		nobodys(start)
		rss := resident.bytes(max(start, rest), end)
		*to += rss
		claimed += rss
		rest = max(rest, end)
	}
	for at := m.start; at < m.end; {
		if len(own) > 0 && own[0].Start+own[0].Bytes <= at {
			own = own[1:]
			continue
		}
		if len(own) > 0 && own[0].Start <= at {
			end := min(own[0].Start+own[0].Bytes, m.end)
			claim(&o.own, at, end)
			at = (end + pageSize - 1) &^ (pageSize - 1)
			continue
		}
		if !resident.at(at) {
			at += pageSize
			continue
		}
		if at%heapMax == 0 {
			// struct heap_info { ar_ptr, prev, size, mprotect_size, pagesize } at the start of each heap.
			if h, ok := look.words(at); ok && h[0] != 0 && h[2] <= h[3] && h[2] > 0 && h[3] <= heapMax && h[3]%pageSize == 0 &&
				h[3] > 0 && (h[0] >= at || h[0]%16 == 0) && at+h[3] <= m.end && h[1]%heapMax == 0 {
				claim(&o.arenas, at, at+h[3])
				at += h[3]
				continue
			}
		}
		// A block with a mapping of its own begins with what is before it (nothing), and its size, of which bit 1 is set.
		// Once as much was found as malloc says there is, nothing is asked any more.
		if o.mmappedFound >= look.mmapped {
			at += pageSize
			continue
		}
		if c, ok := look.words(at); ok && c[0] == 0 && c[1]&7 == 2 && (c[1]&^7)%pageSize == 0 && c[1] >= pageSize &&
			c[1]&^7 <= m.end-at {
			size := c[1] &^ 7
			claim(&o.mmapped, at, at+size)
			o.mmappedFound += size
			at += size
			continue
		}
		at += pageSize
	}
	nobodys(m.end)
	// The pages may have changed since smaps was read. The sum is smaps'.
	total := claimed + unclaimed
	if m.rss > total {
		o.nobody = append(o.nobody, piece{m.start, m.start, m.rss - total})
	} else if m.rss < total {
		o.rss += total - m.rss
	}
}

// prober reads words of our own memory that another thread may unmap at any moment.
type prober struct {
	mem     *os.File
	left    int
	mmapped uint64 // bytes of malloc's large blocks that there are to be found
}

func (p *prober) words(at uint64) (w [4]uint64, ok bool) {
	if p.mem == nil || p.left == 0 {
		return w, false
	}
	p.left--
	var raw [32]byte
	if n, err := p.mem.ReadAt(raw[:], int64(at)); err != nil || n != len(raw) {
		return w, false
	}
	for i := range w {
		w[i] = binary.LittleEndian.Uint64(raw[8*i:])
	}
	return w, true
}

// pages says of each page of a mapping whether it is resident.
type pages struct {
	start uint64
	in    []byte
}

func (r *reader) residency(m *mapping) pages {
	n := int((m.end - m.start) / pageSize)
	r.resident = slices.Grow(r.resident[:0], n)[:n]
	clear(r.resident)
	p := pages{m.start, r.resident}
	if len(p.in) > 0 {
		// It fails when a part has been unmapped meanwhile: then nothing counts as resident.
		syscall.Syscall(syscall.SYS_MINCORE, uintptr(m.start), uintptr(m.end-m.start), uintptr(unsafe.Pointer(&p.in[0])))
	}
	return p
}

func (p pages) at(address uint64) bool {
	i := (address - p.start) / pageSize
	return i < uint64(len(p.in)) && p.in[i]&1 != 0
}

func (p pages) bytes(start, end uint64) (rss uint64) {
	if end <= start {
		return 0
	}
	for _, in := range p.in[(start-p.start)/pageSize : min((end-p.start+pageSize-1)/pageSize, uint64(len(p.in)))] {
		rss += uint64(in&1) * pageSize
	}
	return rss
}
