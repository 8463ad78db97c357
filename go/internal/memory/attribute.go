package memory

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
	"strings"
)

// PageSize is that of the processors that cgoheap runs on.
const PageSize = 4096

// Range is a piece of the address space.
type Range struct{ Start, End uint64 }

// Piece is a stretch of memory that is known by its mapping only.
type Piece struct {
	Start, End uint64
	RSS        uint64
	Clean      uint64 // the part of RSS that are pages of the file itself
	Path       string // empty for anonymous memory
	Mapping    uint64 // size of the mapping that it is in
}

// Owners says whose the resident memory is, in bytes. The fields from GoHeap on, and both lists, add up to RSS.
type Owners struct {
	RSS       uint64 // of all mappings, as smaps has it
	GoHeap    uint64
	GoRuntime uint64 // known by name, where the kernel keeps names
	Arenas    uint64 // of malloc: the break and the heaps of its other arenas
	Mmapped   uint64 // of malloc: large blocks, each a mapping of its own
	Threads   uint64 // stacks
	Code      uint64 // the program and its libraries: code and variables
	Own       uint64 // cgoheap's
	Files     []Piece
	Nobody    []Piece

	// MmappedSize is the size of the large blocks that were found, resident or not.
	MmappedSize uint64
	// Tops is the part of Arenas that is free at the upper ends of arenas other than the first; ArenaCount their number.
	Tops       uint64
	ArenaCount int
	// Truncated says that the look at single pages was ended, since there are too many.
	Truncated bool
}

// View reads the address space that the mappings are of. Both functions must stand memory that is unmapped at any moment.
type View interface {
	// Resident sets in[i] to 1 or 0: whether page i from start on is resident. It returns false when that can't be known.
	Resident(start uint64, in []byte) bool
	// Read copies the memory at an address; it returns false when not all of it can be read.
	Read(at uint64, p []byte) bool
}

// Hints is what the attribution knows beside the mappings.
type Hints struct {
	Own     []Range // of cgoheap, in the order of their addresses
	GoHeap  uint64  // the address of an object in Go's heap; 0: there is none
	Mmapped uint64  // bytes of malloc's large blocks that there are to be found, resident or not
	Stack   uint64  // the size of a thread's stack unless it was asked for another; 0: not known
}

const (
	// heapMax is glibc's HEAP_MAX_SIZE: heaps of arenas other than the first are aligned at it and reserve as much.
	heapMax = 64 << 20
	// goArenas: Go looks for room for its heap at multiples of 1 TiB (plus a constant), far below the kernel's own choice.
	goArenas = 40
	// goLowest: no heap of Go begins lower. What a program maps in the first 4 GiB (MAP_32BIT, a sanitizer's shadow) is not Go's.
	goLowest = 0x40_0000_0000
	// maxGuard is the largest guard that is taken for one without a look at what is above it. Guards have any size: what
	// is reserved and not used below them is one mapping with them.
	maxGuard = 64 << 10
	// maxProbes bounds the look for headers of malloc's blocks, in reads; maxHeaps that for its heaps.
	maxProbes = 20_000
	maxHeaps  = 1 << 16
	// windowPages is how many pages are asked for at a time.
	windowPages = 32 << 10
	// maxPages bounds how many pages are asked for in all: 16 GiB take some 20 ms. A program may reserve 1 TiB.
	maxPages = 4 << 20
)

type owner uint8

const (
	nobody owner = iota
	goHeap
	goRuntime
	arenas
	mmapped
	threads
	code
	own
)

// claim is a piece of a mapping and whose it is. The claims of a mapping cover it without a gap.
type claim struct {
	start, end uint64
	to         owner
	pages      uint64 // found resident
	unknown    bool   // not looked at
}

// attribution is one look at all mappings.
type attribution struct {
	view     View
	hints    Hints
	out      *Owners
	scratch  *Scratch
	probes   int
	heaps    int
	pages    int
	lastHeap uint64 // where the heap of an arena begins that was found last
}

// Scratch is room that is kept from one look to the next.
type Scratch struct {
	claims      []claim
	window      []byte
	windowStart uint64
	executable  map[string]bool
	images      map[string]Range // where an object's memory ends, by path
	found       []mallocHeap
	out         Owners
	page        [2]byte
	small       [heapHeader]byte
	thread      [2 * PageSize]byte
}

const heapHeader = 64

// Attribute goes through the mappings, which are in the order of their addresses. Nothing tells who made an anonymous
// mapping, so each is recognised by something only its owner does: see the comments below. What can't be recognised is
// nobody's. The result lies in scratch.
func Attribute(mappings []Mapping, view View, hints Hints, scratch *Scratch) *Owners {
	s := scratch
	if s.executable == nil {
		s.executable, s.images, s.window = map[string]bool{}, map[string]Range{}, make([]byte, windowPages)
	}
	clear(s.executable)
	clear(s.images)
	s.windowStart, s.found = 0, s.found[:0]
	s.out = Owners{Files: s.out.Files[:0], Nobody: s.out.Nobody[:0]}
	a := &attribution{view: view, hints: hints, out: &s.out, scratch: s, probes: maxProbes, heaps: maxHeaps, pages: maxPages}
	goNames := false // whether the kernel keeps the names that Go gives its mappings
	for i := range mappings {
		m := &mappings[i]
		if len(m.Rights) > 2 && m.Rights[2] == 'x' {
			s.executable[m.Path] = true
		}
		goNames = goNames || strings.HasPrefix(m.Path, "[anon: Go: heap")
	}
	for i := range mappings {
		m := &mappings[i]
		if m.IsFile() && s.executable[m.Path] && m.Offset == 0 {
			if _, known := s.images[m.Path]; !known {
				if end, ok := a.imageEnd(m); ok {
					s.images[m.Path] = Range{m.Start, end}
				}
			}
		}
		a.out.RSS += m.RSS
		if m.RSS == 0 {
			continue
		}
		var before *Mapping
		if i > 0 && mappings[i-1].End == m.Start {
			before = &mappings[i-1]
		}
		a.mapping(m, before, goNames)
	}
	a.tops()
	a.out.Tops = min(a.out.Tops, a.out.Arenas)
	return a.out
}

func (a *attribution) mapping(m, before *Mapping, goNames bool) {
	s, o := a.scratch, a.out
	switch {
	case m.IsFile() && s.executable[m.Path]:
		o.Code += m.RSS
		return
	case m.IsFile():
		clean := m.Clean
		if len(m.Rights) > 3 && m.Rights[3] == 's' {
			clean = m.RSS // what was changed is written back to the file
		}
		o.Files = append(o.Files, Piece{m.Start, m.End, m.RSS, clean, m.Path, m.End - m.Start})
		return
	case m.Path == "[heap]": // the break, which only malloc moves
		o.Arenas += m.RSS
		return
	case m.Path == "[stack]":
		o.Threads += m.RSS
		return
	case m.Path == "[vdso]" || m.Path == "[vsyscall]" || strings.HasPrefix(m.Path, "[vvar"):
		o.Code += m.RSS
		return
	case m.Path == "[anon: glibc: malloc arena]": // glibc names its own with the tunable glibc.mem.decorate_maps
		o.Arenas += m.RSS
		return
	case m.Path == "[anon: glibc: malloc]":
		o.Mmapped += m.RSS
		o.MmappedSize += m.End - m.Start
		return
	case strings.HasPrefix(m.Path, "[anon: glibc: pthread"):
		o.Threads += m.RSS
		return
	case strings.HasPrefix(m.Path, "[anon: Go: heap"):
		o.GoHeap += m.RSS
		return
	case strings.HasPrefix(m.Path, "[anon: Go: "):
		o.GoRuntime += m.RSS
		return
	case !goNames && a.isGoHeap(m):
		o.GoHeap += m.RSS
		return
	}

	s.claims = s.claims[:0]
	rest := m.Start
	switch {
	case before != nil && before.IsFile() && s.executable[before.Path] && m.Path == "":
		// The variables that begin as zero (.bss) follow the others, with no name of their own. What the object's program
		// headers don't cover is somebody else's, who was mapped right behind.
		end := m.End
		if image, known := s.images[before.Path]; known {
			end = min(max(image.End, m.Start), m.End)
		}
		a.claim(rest, end, code)
		rest = end
	case before != nil && before.Path == "" && before.Rights == "---p" && m.Rights == "rw-p" && m.Path == "" && !a.isHeap(m.Start):
		if end, ok := a.stackEnd(m, before); ok {
			a.claim(rest, end, threads)
			rest = end
		}
	}
	a.divide(rest, m.End)
	a.give(m)
}

func (a *attribution) isGoHeap(m *Mapping) bool {
	return a.hints.GoHeap != 0 && m.Start>>goArenas == a.hints.GoHeap>>goArenas && m.Start >= goLowest
}

func (a *attribution) claim(start, end uint64, to owner) {
	if end <= start {
		return
	}
	claims := a.scratch.claims
	if n := len(claims); n > 0 && claims[n-1].to == to && to != mmapped {
		claims[n-1].end = end
		return
	}
	a.scratch.claims = append(claims, claim{start: start, end: end, to: to})
}

// divide claims all from start to end: neighbours of different owners are one mapping for the kernel.
func (a *attribution) divide(start, end uint64) {
	heap := a.nextHeap(start, end)
	for at := start; at < end; {
		if heap.Start < at {
			heap = a.nextHeap(at, end)
		}
		next, to := a.nextOwn(at, end), own
		if heap.Start < next.Start {
			next, to = heap, arenas
		}
		a.blocks(at, next.Start)
		a.claim(next.Start, next.End, to)
		at = max(next.End, next.Start)
	}
}

// nextOwn is the next of cgoheap's ranges, cut to what lies between at and end; empty at end when there is none.
func (a *attribution) nextOwn(at, end uint64) Range {
	for len(a.hints.Own) > 0 && a.hints.Own[0].End <= at {
		a.hints.Own = a.hints.Own[1:]
	}
	if len(a.hints.Own) == 0 || a.hints.Own[0].Start >= end {
		return Range{end, end}
	}
	r := a.hints.Own[0]
	// Whole pages: no page has two owners.
	first, last := r.Start&^(PageSize-1), (r.End+PageSize-1)&^(PageSize-1)
	return Range{max(first, at), min(last, end)}
}

// nextHeap is the next heap of a malloc arena, or what is left of one; empty at end when there is none. All of what a heap
// reserves is malloc's: it may have grown or shrunk since smaps was read.
func (a *attribution) nextHeap(at, end uint64) Range {
	if a.lastHeap != 0 && at > a.lastHeap && at < a.lastHeap+heapMax {
		return Range{at, min(a.lastHeap+heapMax, end)}
	}
	for heap := (at + heapMax - 1) &^ (heapMax - 1); heap < end && a.heaps > 0; heap += heapMax {
		if a.isHeap(heap) {
			return Range{heap, min(heap+heapMax, end)}
		}
	}
	return Range{end, end}
}

// isHeap says whether the heap of an arena begins at an address, and remembers it. Such a heap begins with
//
//	struct heap_info { mstate ar_ptr; struct heap_info *prev; size_t size, mprotect_size; ... }
//
// (glibc, malloc/arena.c). The first heap of an arena holds the arena itself right behind that; the others point to it.
func (a *attribution) isHeap(at uint64) bool {
	if at%heapMax != 0 || a.heaps == 0 {
		return false
	}
	if at == a.lastHeap {
		return true
	}
	a.heaps--
	raw := a.scratch.small[:]
	// Only pages that are there: reading another would make it be there.
	if in := a.scratch.page[:1]; !a.view.Resident(at, in) || in[0]&1 == 0 || !a.view.Read(at, raw) {
		return false
	}
	arena, previous := binary.LittleEndian.Uint64(raw), binary.LittleEndian.Uint64(raw[8:])
	size, mapped := binary.LittleEndian.Uint64(raw[16:]), binary.LittleEndian.Uint64(raw[24:])
	offset := arena % heapMax
	ok := size > 0 && size <= mapped && mapped <= heapMax && size%PageSize == 0 && mapped%PageSize == 0 &&
		arena%16 == 0 && offset >= 32 && offset < 1024 && previous%heapMax == 0 && previous != at &&
		(previous == 0) == (arena-offset == at)
	if ok {
		a.lastHeap = at
		a.scratch.found = append(a.scratch.found, mallocHeap{at, arena, size})
	}
	return ok
}

// mallocHeap is a heap of an arena that was found.
type mallocHeap struct{ start, arena, size uint64 }

// Where an arena has its topmost free block, in struct malloc_state (malloc/malloc.c): since glibc 2.26, and before.
var topOffsets = [2]uint64{96, 88}

// tops adds up what is resident of the topmost free block of each arena. glibc gives it back when a block beside it is freed
// and it is larger than the trim threshold; malloc_trim does so for the first arena only.
func (a *attribution) tops() {
	s := a.scratch
	for i := range s.found {
		first := &s.found[i]
		if first.arena&^(heapMax-1) != first.start {
			continue // another heap of an arena
		}
		a.out.ArenaCount++
		for _, offset := range topOffsets {
			raw := s.small[:16]
			if !a.view.Read(first.arena+offset, raw[:8]) {
				continue
			}
			top := binary.LittleEndian.Uint64(raw)
			last := slices.IndexFunc(s.found, func(h mallocHeap) bool {
				return h.arena == first.arena && top > h.start && top < h.start+h.size
			})
			if last < 0 || top%16 != 0 || !a.view.Read(top, raw) {
				continue
			}
			size, end := binary.LittleEndian.Uint64(raw[8:])&^7, s.found[last].start+s.found[last].size
			if top+size != end {
				continue // another field
			}
			for at := (top + PageSize) &^ (PageSize - 1); at < end; {
				in := a.pagesAt(at, end)
				if in == nil {
					break
				}
				a.out.Tops += uint64(bytes.Count(in, []byte{1})) * PageSize
				at += uint64(len(in)) * PageSize
			}
			break
		}
	}
}

// stackEnd says where the stack of a thread ends that begins with a mapping behind a guard. glibc keeps what it knows of the
// thread at the stack's upper end, and this begins with two pointers to itself (tcbhead_t: tcb, dtv, self). Memory behind a
// guard that has no such thing is no stack. Where memory can't be read, it counts as one.
func (a *attribution) stackEnd(m, guard *Mapping) (end uint64, ok bool) {
	ends := [2]uint64{m.End, 0}
	// The size includes the guard, which is one page unless another size was asked for.
	if usual := m.Start - PageSize + a.hints.Stack; a.hints.Stack > PageSize && usual < m.End {
		ends[1] = usual // another mapping follows without a gap
	}
	readable := false
	for _, end := range ends {
		if end == 0 {
			continue
		}
		raw := a.scratch.thread[:min(end-m.Start, uint64(len(a.scratch.thread)))]
		in := a.scratch.page[:len(raw)/PageSize]
		if !a.view.Resident(end-uint64(len(raw)), in) || in[len(in)-1]&1 == 0 {
			readable = true
			continue
		}
		if in[0]&1 == 0 { // only pages that are there: reading another would make it be there
			raw = raw[:PageSize]
		}
		start := end - uint64(len(raw))
		if !a.view.Read(start, raw) {
			continue
		}
		readable = true
		for i := 0; i+24 <= len(raw); i += 64 {
			at := start + uint64(i)
			if binary.LittleEndian.Uint64(raw[i:]) == at && binary.LittleEndian.Uint64(raw[i+16:]) == at {
				return end, true
			}
		}
	}
	if !readable {
		return m.End, m.Start%heapMax != 0 && guard.End-guard.Start <= maxGuard
	}
	return 0, false
}

// imageEnd reads the program headers of the object that is mapped at m from memory, and says where its memory ends.
func (a *attribution) imageEnd(m *Mapping) (end uint64, ok bool) {
	header := a.scratch.small[:64]
	if m.RSS == 0 || !a.view.Read(m.Start, header) || !bytes.HasPrefix(header, []byte("\x7fELF\x02\x01")) {
		return 0, false
	}
	at, size, n := binary.LittleEndian.Uint64(header[32:]), binary.LittleEndian.Uint16(header[54:]), binary.LittleEndian.Uint16(header[56:])
	if size != 56 || n > 64 || at > PageSize {
		return 0, false
	}
	table := a.scratch.thread[:56*int(n)]
	if !a.view.Read(m.Start+at, table) {
		return 0, false
	}
	first, last := ^uint64(0), uint64(0)
	for ; len(table) > 0; table = table[56:] {
		p := table[:56]
		if binary.LittleEndian.Uint32(p) != 1 { // PT_LOAD
			continue
		}
		address, bytes := binary.LittleEndian.Uint64(p[16:]), binary.LittleEndian.Uint64(p[40:])
		first, last = min(first, address&^(PageSize-1)), max(last, address+bytes)
	}
	if last == 0 || last < first {
		return 0, false
	}
	return m.Start + (last-first+PageSize-1)&^(PageSize-1), true
}

// blocks claims the large blocks of malloc between start and end, and the rest for nobody. Such a block begins with the size
// of what is before it (nothing), and its own, of which bit 1 is set. Once as much was found as malloc says there is, nothing
// is asked any more.
func (a *attribution) blocks(start, end uint64) {
	for at := start; at < end; {
		if a.out.MmappedSize >= a.hints.Mmapped || a.probes == 0 {
			break
		}
		found, ok := a.nextResident(at, end)
		if !ok {
			break
		}
		a.probes--
		at = found + PageSize
		raw := a.scratch.small[:16]
		if !a.view.Read(found, raw) {
			continue
		}
		before, size := binary.LittleEndian.Uint64(raw), binary.LittleEndian.Uint64(raw[8:])
		if before != 0 || size&7 != 2 || size&^7 < PageSize || size&^7 > end-found || (size&^7)%PageSize != 0 {
			continue
		}
		size &^= 7
		a.claim(start, found, nobody)
		a.claim(found, found+size, mmapped)
		a.out.MmappedSize += size
		start, at = found+size, found+size
	}
	a.claim(start, end, nobody)
}

// nextResident finds the first resident page at or after an address.
func (a *attribution) nextResident(at, end uint64) (uint64, bool) {
	for at < end {
		in := a.pagesAt(at, end)
		if in == nil {
			return 0, false
		}
		if i := bytes.IndexByte(in, 1); i >= 0 {
			return at + uint64(i)*PageSize, true
		}
		at += uint64(len(in)) * PageSize
	}
	return 0, false
}

// pagesAt says of the pages from an address on whether they are resident: of some, at least one. It is nil when nothing more
// is to be asked.
func (a *attribution) pagesAt(at, end uint64) []byte {
	s := a.scratch
	pages := (end - at + PageSize - 1) / PageSize
	if s.windowStart != 0 && at >= s.windowStart && at < s.windowStart+uint64(len(s.window))*PageSize {
		in := s.window[(at-s.windowStart)/PageSize:]
		return in[:min(uint64(len(in)), pages)]
	}
	if a.pages <= 0 {
		a.out.Truncated = true
		return nil
	}
	s.window = s.window[:cap(s.window)]
	s.window = s.window[:min(uint64(len(s.window)), pages)]
	a.pages -= len(s.window)
	s.windowStart = at
	if !a.view.Resident(at, s.window) {
		clear(s.window) // a part of it has been unmapped meanwhile
	}
	for i := range s.window {
		s.window[i] &= 1
	}
	return s.window
}

// give divides what is resident of a mapping among its claims.
func (a *attribution) give(m *Mapping) {
	claims := a.scratch.claims
	if len(claims) > 1 {
		a.count(claims, m)
		apportion(claims, m.RSS/PageSize)
	}
	left := m.RSS
	for i := range claims {
		c := &claims[i]
		rss := min(c.pages*PageSize, left)
		if i == len(claims)-1 && len(claims) == 1 {
			rss = left
		}
		left -= rss
		a.add(m, c, rss)
	}
	if left > 0 { // not a multiple of the page: never so far
		a.add(m, &claims[len(claims)-1], left)
	}
}

func (a *attribution) add(m *Mapping, c *claim, rss uint64) {
	o := a.out
	switch c.to {
	case arenas:
		o.Arenas += rss
	case mmapped:
		o.Mmapped += rss
	case threads:
		o.Threads += rss
	case code:
		o.Code += rss
	case own:
		o.Own += rss
	case nobody:
		if rss > 0 {
			o.Nobody = append(o.Nobody, Piece{c.start, c.end, rss, 0, m.Path, m.End - m.Start})
		}
	}
}

// count finds out how many pages of each claim are resident; in a mapping of much more than the window until as many were
// found as there are.
func (a *attribution) count(claims []claim, m *Mapping) {
	found, pages := uint64(0), m.RSS/PageSize
	if m.End-m.Start <= 4*windowPages*PageSize {
		pages = (m.End - m.Start) / PageSize
	}
	for i := range claims {
		c := &claims[i]
		for at := c.start; at < c.end && found < pages; {
			in := a.pagesAt(at, c.end)
			if in == nil {
				c.unknown = true
				break
			}
			n := uint64(bytes.Count(in, []byte{1}))
			c.pages += n
			found += n
			at += uint64(len(in)) * PageSize
		}
	}
}

// apportion makes the pages of the claims add up to what is resident of the mapping: smaps and the pages were not read at the
// same moment, and a page of zeros that is only read is none of smaps' but present. No claim gets more than it is long.
func apportion(claims []claim, total uint64) {
	found, unknown := uint64(0), uint64(0)
	for i := range claims {
		found += claims[i].pages
		if claims[i].unknown {
			unknown += claims[i].length() - claims[i].pages
		}
	}
	if found < total && unknown > 0 { // what was not looked at has the rest, by length
		rest := total - found
		for i := range claims {
			if c := &claims[i]; c.unknown {
				n := min(share(rest, c.length()-c.pages, unknown), c.length()-c.pages)
				c.pages += n
				found += n
			}
		}
	}
	if found > 0 && found != total {
		before := found
		found = 0
		for i := range claims {
			c := &claims[i]
			c.pages = min(share(total, c.pages, before), c.length())
			found += c.pages
		}
	}
	// The rest of the divisions, and what didn't fit: to whoever has most room for it.
	for found < total {
		c := &claims[0]
		for i := range claims {
			if claims[i].room() > c.room() {
				c = &claims[i]
			}
		}
		n := min(c.room(), total-found)
		if n == 0 {
			return // smaps has more than the mapping is long
		}
		c.pages += n
		found += n
	}
}

func (c *claim) length() uint64 { return (c.end - c.start + PageSize - 1) / PageSize }
func (c *claim) room() uint64   { return c.length() - min(c.pages, c.length()) }

// share is total * part / whole, for part <= whole.
func share(total, part, whole uint64) uint64 {
	high, low := bits.Mul64(total, part)
	quotient, _ := bits.Div64(high, low, whole)
	return quotient
}
