package memory

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// world is a generated address space, in which the owner of each page is known.
type world struct {
	rng     *rand.Rand
	regions []region // in the order of their addresses
	memory  map[uint64][]byte
	hints   Hints
	malloc  Malloc
	run     Runtime
	hooks   Hooks
	missing map[uint64]bool // pages that are not there any more when they are asked for
}

// region is a stretch of pages with one owner.
type region struct {
	Range
	rights, path string
	offset       uint64
	to           owner
	file         bool // a file that isn't code
	resident     []bool
}

func (g *region) rss() (bytes uint64) {
	for _, in := range g.resident {
		if in {
			bytes += PageSize
		}
	}
	return bytes
}

func (w *world) Resident(start uint64, in []byte) bool {
	clear(in)
	for i := range in {
		at := start + uint64(i)*PageSize
		g := w.at(at)
		if g == nil {
			return false
		}
		if g.resident[(at-g.Start)/PageSize] && !w.missing[at] {
			in[i] = 1
		}
	}
	return true
}

func (w *world) at(at uint64) *region {
	i, found := slices.BinarySearchFunc(w.regions, at, func(g region, at uint64) int {
		switch {
		case g.End <= at:
			return -1
		case g.Start > at:
			return 1
		}
		return 0
	})
	if !found {
		return nil
	}
	return &w.regions[i]
}

func (w *world) Read(at uint64, p []byte) bool {
	clear(p)
	for i := 0; i < len(p); i += 8 {
		page := (at + uint64(i)) &^ (PageSize - 1)
		if w.at(page) == nil {
			return false
		}
		if raw := w.memory[page]; raw != nil {
			copy(p[i:min(i+8, len(p))], raw[at+uint64(i)-page:])
		}
	}
	return true
}

func (w *world) put(at uint64, words ...uint64) {
	page := at &^ (PageSize - 1)
	if w.memory[page] == nil {
		w.memory[page] = make([]byte, PageSize)
	}
	for i, word := range words {
		binary.LittleEndian.PutUint64(w.memory[page][at-page+uint64(8*i):], word)
	}
}

// add appends a region of so many pages at the end of the space, or behind a gap; the pages in touched are resident for sure,
// others by chance.
func (w *world) add(gap, pages uint64, to owner, rights, path string, touched ...uint64) *region {
	start := w.end() + gap*PageSize
	g := region{Range: Range{start, start + pages*PageSize}, rights: rights, path: path, to: to, resident: make([]bool, pages)}
	chance := w.rng.Float64()
	for i := range g.resident {
		g.resident[i] = rights[0] == 'r' && w.rng.Float64() < chance
	}
	for _, i := range touched {
		g.resident[i] = true
	}
	w.regions = append(w.regions, g)
	return &w.regions[len(w.regions)-1]
}

func (w *world) end() uint64 {
	if len(w.regions) == 0 {
		return 0x7f00_0000_0000
	}
	return w.regions[len(w.regions)-1].End
}

func (w *world) pages(most int) uint64 { return 1 + w.rng.Uint64N(uint64(most)) }

// gap is nothing, so that neighbours are one mapping for the kernel, or some pages.
func (w *world) gap() uint64 { return w.rng.Uint64N(2) * w.pages(20) }

// The things that a process has.
var things = map[string]func(*world){
	"own": func(w *world) {
		g := w.add(w.gap(), w.pages(600), own, "rw-p", "")
		w.hints.Own = append(w.hints.Own, g.Range)
	},
	"large block": func(w *world) {
		pages := 40 + w.pages(3000)
		g := w.add(w.gap(), pages, mmapped, "rw-p", "", 0)
		w.put(g.Start, 0, pages*PageSize|2)
		w.malloc.Mmapped += pages * PageSize
	},
	"anonymous": func(w *world) {
		g := w.add(w.gap(), w.pages(500), nobody, "rw-p", "")
		for i := uint64(0); i < uint64(len(g.resident)); i += 7 {
			w.put(g.Start+i*PageSize, w.rng.Uint64(), w.rng.Uint64(), w.rng.Uint64N(64<<20)&^4095, 64<<20)
		}
	},
	"anonymous behind a guard": func(w *world) {
		w.add(w.gap(), w.pages(16), nobody, "---p", "")
		g := w.add(0, w.pages(500), nobody, "rw-p", "")
		last := g.End - PageSize
		w.put(last+128, last+128, last+128, last+128) // the head of an empty list points to itself too
		w.put(last+128+16, 0)
	},
	"reservation": func(w *world) { w.add(w.gap(), w.pages(1000), nobody, "rw-p", "", 0) },
	"arena": func(w *world) {
		if w.rng.Uint64N(2) == 0 { // right behind a gap as large as a guard
			w.add((heapMax-w.end()%heapMax)/PageSize, 0, nobody, "rw-p", "")
		}
		at := (w.end() + heapMax - 1) &^ (heapMax - 1)
		first := uint64(0)
		for range 1 + w.rng.IntN(3) { // heaps
			pages := w.pages(heapMax / PageSize)
			if w.rng.Uint64N(4) == 0 {
				pages = heapMax/PageSize - w.pages(16) // its unused end looks like a guard
			}
			g := w.add((at-w.end())/PageSize, pages, arenas, "rw-p", "", 0)
			if first == 0 {
				first = at
				w.put(at, at+48, 0, pages*PageSize, pages*PageSize)
			} else {
				w.put(at, first+48, at-heapMax, pages*PageSize, pages*PageSize)
			}
			w.malloc.Arenas += pages * PageSize
			_ = g
			if pages < heapMax/PageSize {
				w.add(0, heapMax/PageSize-pages, arenas, "---p", "")
			}
			at += heapMax
		}
	},
	"break": func(w *world) {
		g := w.add(w.gap(), w.pages(3000), arenas, "rw-p", "[heap]")
		w.malloc.Arenas += g.End - g.Start
	},
	"thread": func(w *world) {
		w.add(w.gap(), 1, nobody, "---p", "")
		unusual := w.rng.Uint64N(2) * w.pages(100)
		pages := 2047 + unusual
		g := w.add(0, pages, threads, "rw-p", "", pages-1)
		tcb := g.End - 0x900&^63
		w.put(tcb, tcb, 0x1234, tcb)
		if unusual > 0 { // where it ends can't be known when something follows
			w.add(0, 1, code, "r--p", "[vvar]")
		}
	},
	"library": func(w *world) {
		path := fmt.Sprintf("/lib/lib%d.so", len(w.regions))
		g := w.add(w.gap(), 4, code, "r--p", path, 0)
		start := g.Start
		w.add(0, w.pages(100), code, "r-xp", path)
		data := w.add(0, w.pages(10), code, "rw-p", path)
		data.offset = 4 * PageSize
		bss := w.add(0, w.pages(50), code, "rw-p", "")
		header := make([]uint64, 8)
		header[0] = 0x00010102464c457f
		header[4] = 64
		header[6] = 56<<48 | 64<<32
		header[7] = 1
		w.put(start, header...)
		w.put(start+64, 1, 0, 0, 0, 0, bss.End-start-100)
	},
	"file": func(w *world) {
		w.add(w.gap(), w.pages(3000), nobody, "r--s", fmt.Sprintf("/data/%d.db", len(w.regions)%3)).file = true
	},
	"shared memory": func(w *world) {
		w.add(w.gap(), w.pages(300), nobody, "rw-s", "/dev/zero (deleted)").file = true
	},
	"named": func(w *world) { w.add(w.gap(), w.pages(300), nobody, "rw-p", "[anon:jemalloc_pg]") },
}

// generate makes a world; what is free in malloc and live for cgoheap is drawn, often impossible for what is resident.
func generate(seed uint64) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 1)), memory: map[uint64][]byte{}, missing: map[uint64]bool{}}
	// Go's heap lies far below.
	heap := region{Range: Range{0xc000000000, 0xc000000000 + 64<<20}, rights: "rw-p", to: goHeap, resident: make([]bool, 64<<20/PageSize)}
	for i := range heap.resident {
		heap.resident[i] = w.rng.Uint64N(3) == 0
	}
	w.regions = append(w.regions, heap)
	w.hints.GoHeap, w.hints.Stack = 0xc000001000, 8<<20
	w.regions = append(w.regions, region{Range: Range{0x7f00_0000_0000 - PageSize, 0x7f00_0000_0000}, rights: "r--p", path: "[vvar]", to: code, resident: []bool{true}})
	names := []string{}
	for name := range things {
		names = append(names, name)
	}
	slices.Sort(names)
	for range 3 + w.rng.IntN(25) {
		things[names[w.rng.IntN(len(names))]](w)
	}
	w.regions = slices.DeleteFunc(w.regions, func(g region) bool { return g.Start == g.End })
	w.hints.Mmapped = w.malloc.Mmapped
	w.malloc.Free = w.rng.Uint64N(w.malloc.Arenas + 1)
	w.malloc.Used = w.malloc.Arenas - w.malloc.Free
	w.hooks = Hooks{Live: w.rng.Uint64N(2*(w.malloc.Used+w.malloc.Mmapped) + 1), Margin: w.rng.Uint64N(1 << 20), Whole: w.rng.Uint64N(2) == 0}
	w.run = Runtime{Objects: w.rng.Uint64N(256 << 20), Unused: w.rng.Uint64N(1 << 20), Free: w.rng.Uint64N(16 << 20), Stacks: w.rng.Uint64N(1 << 20),
		Metadata: w.rng.Uint64N(4 << 20), Marked: w.rng.Uint64N(256 << 20)}
	return w
}

// smaps writes what the kernel would: neighbours of the same kind are one mapping.
func (w *world) smaps() []byte {
	var out strings.Builder
	for i := 0; i < len(w.regions); {
		g := &w.regions[i]
		rss, end := g.rss(), g.End
		for i++; i < len(w.regions); i++ {
			next := &w.regions[i]
			if next.Start != end || next.rights != g.rights || next.path != "" || g.path != "" {
				break
			}
			rss, end = rss+next.rss(), next.End
		}
		fmt.Fprintf(&out, "%x-%x %s %08x 00:00 0 %s\nSize: %d kB\nRss: %d kB\nVmFlags: rd\n", g.Start, end, g.rights, g.offset, g.path, (end-g.Start)>>10, rss>>10)
	}
	return []byte(out.String())
}

// truth adds up what is resident, by owner.
func (w *world) truth() (all uint64, by [own + 1]uint64, files uint64) {
	for i := range w.regions {
		g := &w.regions[i]
		rss := g.rss()
		all += rss
		if g.file {
			files += rss
		} else {
			by[g.to] += rss
		}
	}
	return all, by, files
}

func sum(pieces []Piece) (bytes uint64) {
	for _, p := range pieces {
		bytes += p.RSS
	}
	return bytes
}

// Every page has the owner that it has in truth, whoever its neighbours are.
func TestEveryPageHasItsOwner(t *testing.T) {
	for seed := range uint64(400) {
		w := generate(seed)
		all, by, files := w.truth()
		o := Attribute(ParseSmaps(w.smaps(), nil), w, w.hints, new(Scratch))
		got := [own + 1]uint64{nobody: sum(o.Nobody), goHeap: o.GoHeap, arenas: o.Arenas, mmapped: o.Mmapped, threads: o.Threads, code: o.Code, own: o.Own}
		if o.RSS != all || got != by || sum(o.Files) != files {
			t.Errorf("seed %d: RSS %d, want %d; owners %d, want %d; files %d, want %d\n%s", seed, o.RSS, all, got, by, sum(o.Files), files, w.map_())
		}
	}
}

func (w *world) map_() string {
	var out strings.Builder
	for i := range w.regions {
		g := &w.regions[i]
		fmt.Fprintf(&out, "%x-%x %s %s owner %d rss %d\n", g.Start, g.End, g.rights, g.path, g.to, g.rss())
	}
	return out.String()
}

// checkParts holds a moment to the two rules.
func checkParts(t *testing.T, seed uint64, m *Moment, o *Owners, owned Owners) {
	t.Helper()
	r := &m.Resident
	total := uint64(0)
	for _, bytes := range r {
		total += bytes
	}
	if total != m.RSS {
		t.Errorf("seed %d: the parts add up to %d, RSS is %d: %d", seed, total, m.RSS, r)
	}
	if goPart := r[GoLive] + r[GoDead] + r[GoIdle] + r[GoStacks]; goPart > owned.GoHeap {
		t.Errorf("seed %d: Go has %d, and %d are resident", seed, goPart, owned.GoHeap)
	}
	anonymous := sum(owned.Nobody)
	if c := r[CLive] + r[CMore] + r[CFree]; c > owned.Arenas+anonymous || r[CFree] > owned.Arenas {
		t.Errorf("seed %d: malloc has %d, of which %d are free, and %d are resident", seed, c, r[CFree], owned.Arenas)
	}
	if r[CLive]+r[CMmapped] > m.CLive+owned.Mmapped+anonymous {
		t.Errorf("seed %d: %d + %d are live", seed, r[CLive], r[CMmapped])
	}
	if r[Mapped] != sum(o.Nobody) || r[Mapped] > anonymous {
		t.Errorf("seed %d: the list of mappings has %d, the part %d", seed, sum(o.Nobody), r[Mapped])
	}
	if r[Unexplained] > m.RSS*3/100 {
		t.Errorf("seed %d: %d of %d are unexplained: %d", seed, r[Unexplained], m.RSS, r)
	}
}

// copyOf keeps the pieces, from which Divide takes.
func copyOf(o *Owners) Owners {
	c := *o
	c.Nobody, c.Files = slices.Clone(o.Nobody), slices.Clone(o.Files)
	return c
}

// No byte is claimed twice and no part has more than is resident, whatever malloc, Go and cgoheap say of themselves.
func TestThePartsAddUpToRSS(t *testing.T) {
	for seed := range uint64(400) {
		w := generate(seed)
		o := Attribute(ParseSmaps(w.smaps(), nil), w, w.hints, new(Scratch))
		before := copyOf(o)
		malloc := w.malloc
		malloc.Old, malloc.Estimated = seed%3 == 1, seed%3 == 2
		if seed%5 == 4 {
			malloc = Malloc{Unknown: true, Estimated: w.hooks.Whole}
		}
		var m Moment
		m.Divide(o, malloc, w.run, w.hooks)
		checkParts(t, seed, &m, o, before)
	}
}

// Between smaps and the look at single pages the process goes on: pages go, heaps grow and shrink, mappings vanish.
func TestThePartsAddUpToRSSWhileTheProcessGoesOn(t *testing.T) {
	var scratch Scratch
	for seed := range uint64(400) {
		w := generate(seed)
		text := w.smaps()
		all, by, _ := w.truth()
		for i := 0; i < len(w.regions); i++ {
			g := &w.regions[i]
			switch w.rng.IntN(6) {
			case 0: // touched or given back
				for j := range g.resident {
					g.resident[j] = g.resident[j] != (w.rng.IntN(4) == 0)
				}
			case 1:
				if g.to == mmapped || g.to == nobody { // unmapped
					w.regions = slices.Delete(w.regions, i, i+1)
					i--
				}
			case 2:
				if head := w.memory[g.Start]; g.to == arenas && head != nil { // grown or shrunk
					pages := w.pages(heapMax / PageSize)
					binary.LittleEndian.PutUint64(head[16:], pages*PageSize)
					binary.LittleEndian.PutUint64(head[24:], pages*PageSize)
					g.resident[0] = true
				}
			}
		}
		o := Attribute(ParseSmaps(text, nil), w, w.hints, &scratch)
		if o.RSS != all {
			t.Errorf("seed %d: RSS %d, smaps has %d", seed, o.RSS, all)
		}
		before := copyOf(o)
		var m Moment
		m.Divide(o, w.malloc, w.run, w.hooks)
		checkParts(t, seed, &m, o, before)
		_ = by
	}
}

// A heap that has grown since smaps was read is malloc's as far as it was there.
func TestAHeapThatGrewSinceIsMallocs(t *testing.T) {
	w := generate(1)
	w.regions, w.hints.Own = w.regions[:0], nil
	at := uint64(0x7f00_0000_0000)
	w.regions = append(w.regions, region{Range: Range{at, at + 10*PageSize}, rights: "rw-p", to: arenas, resident: make([]bool, 10)})
	for i := range 10 {
		w.regions[0].resident[i] = true
	}
	text := w.smaps()
	w.put(at, at+48, 0, 4000*PageSize, 4000*PageSize)
	if o := Attribute(ParseSmaps(text, nil), w, w.hints, new(Scratch)); o.Arenas != 10*PageSize || len(o.Nobody) != 0 {
		t.Errorf("%+v", *o)
	}
}

// What a program reserves is not walked through page by page.
func TestAReservationOfATebibyteIsLookedAtInPieces(t *testing.T) {
	v := &tebibyte{}
	text := fmt.Sprintf("7e0000000000-%x rw-p 00000000 00:00 0\nRss: 8 kB\n", uint64(0x7e0000000000)+1<<40)
	hints := Hints{Own: []Range{{0x7e0000000000 + 512<<30, 0x7e0000000000 + 512<<30 + PageSize}}, Mmapped: 1 << 30}
	o := Attribute(ParseSmaps([]byte(text), nil), v, hints, new(Scratch))
	if o.RSS != 8<<10 || o.Own+sum(o.Nobody) != 8<<10 {
		t.Errorf("%+v", *o)
	}
	if v.most > windowPages || v.pages > maxPages+2*windowPages+maxHeaps {
		t.Errorf("%d pages were asked for, up to %d at once", v.pages, v.most)
	}
}

// tebibyte has one resident page in 256 GiB.
type tebibyte struct{ pages, most int }

func (v *tebibyte) Resident(start uint64, in []byte) bool {
	v.pages += len(in)
	v.most = max(v.most, len(in))
	clear(in)
	for i := range in {
		if (start+uint64(i)*PageSize)%(256<<30) == 0 {
			in[i] = 1
		}
	}
	return true
}

func (v *tebibyte) Read(uint64, []byte) bool { return false }

func TestApportion(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		claims := make([]claim, 1+rng.IntN(5))
		length, at := uint64(0), uint64(0)
		for i := range claims {
			n := 1 + rng.Uint64N(1<<uint(1+rng.IntN(20)))
			claims[i] = claim{start: at, end: at + n*PageSize, pages: rng.Uint64N(n + 1), unknown: rng.IntN(4) == 0}
			length, at = length+n, at+n*PageSize
		}
		total := rng.Uint64N(length + 1)
		was := slices.Clone(claims)
		apportion(claims, total)
		got := uint64(0)
		for i := range claims {
			got += claims[i].pages
			if claims[i].pages > claims[i].length() {
				t.Fatalf("%+v of %d: %+v", was, total, claims)
			}
		}
		if got != total {
			t.Fatalf("%+v: %d of %d: %+v", was, got, total, claims)
		}
	}
}
