package look

import (
	"bytes"
	"cmp"
	"container/heap"
	"crypto/rand"
	_ "embed"
	"fmt"
	"hash/fnv"
	"html/template"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"time"

	cgoheap "github.com/cgoheap/cgoheap/go"
	"github.com/cgoheap/cgoheap/go/internal/capi"
	"github.com/cgoheap/cgoheap/go/internal/profiledata"
	"github.com/cgoheap/cgoheap/go/internal/serving"
)

//go:embed flame.html
var flameText string

var flameTemplate = template.Must(template.New("flame").Funcs(template.FuncMap{"size": size[int64]}).Parse(flameText))

const (
	// flameRow is the height of a frame, in pixels.
	flameRow = 20
	// flameLeast: what is narrower than this part of the picture can't be seen, and isn't sent.
	flameLeast = 1.0 / 1000
	// flameDepth: no more rows below the frame at full width; a click shows what is deeper.
	flameDepth = 150
	// flameFrames is how many frames a picture has at most, the largest; a click shows what is left out below one.
	flameFrames = 3000
	// flameScreen is a wide window, in letters of a frame's text.
	flameScreen = 400
)

// flameSources are what a flame graph can be made of; without a filter it is Go's heap and C's.
var flameSources = []struct {
	key, title string
	filter     *capi.Filter
}{
	{"c", "C memory in use", &capi.Filter{}},
	{"all", "Go and C memory in use", nil},
	{"old", "C memory in use for more than " + duration(oldAge), &capi.Filter{MinAge: oldAge}},
	{"peak", "C memory at its highest", &capi.Filter{Peak: true}},
	{"alloc", "C memory allocated since the start", &capi.Filter{}},
}

// flameGate bounds what flame graphs take of memory and time. One takes the profile, as file and unpacked, 4 bytes for each
// frame of each stack, and what is drawn: 30 MB for 20,000 stacks of 50 frames, and at most 150 MB with cgoheap's tables full.
var flameGate = serving.NewGate(2, 6, 5*time.Second)

// flamePage is an icicle: callers above, what they call below, as wide as the bytes they stand for. Each frame is a link to
// itself at full width, so it needs no script.
type flamePage struct {
	Program, Nonce, Title string
	Sources               []flameLink
	Frames                []flameFrame
	Total                 int64
	Height                int
	At                    string // the whole name of the frame that is shown at full width
	Cut                   bool   // there are frames that could be seen but are not drawn
	Top                   string // link to the whole
	Gone                  bool   // the frame that was asked for
}

type flameLink struct {
	Title, Href string
	Current     bool
}

type flameFrame struct {
	X, Width     string // percent
	Y            int
	Class        string
	Name, Detail string
	Href         string
}

// flameStacks are stacks whose frames are numbers, of which equal ones have the same name.
type flameStacks struct {
	names  map[string]uint32
	frames []flameName
	stacks []flameStack
}

// flameName is what all frames of a name look like; the first of them is shown.
type flameName struct {
	name, detail, class string
	hash                uint64
}

type flameStack struct {
	frames []uint32 // leaf first
	value  int64
}

// at returns the frame at a depth, 0 for the outermost.
func (s *flameStack) at(depth int) (frame uint32, ok bool) {
	if depth >= len(s.frames) {
		return 0, false
	}
	return s.frames[len(s.frames)-1-depth], true
}

// frameName is what frames are taken together by: the function, or the address of one that has no name.
func frameName(f *profiledata.Frame) string {
	if f.Function != "" {
		return f.Function
	}
	return frameText(f)
}

// add takes the samples of a profile which have some of the value. It uses the memory of p.
func (t *flameStacks) add(p *profiledata.Compact, value int) {
	if t.names == nil {
		t.names = map[string]uint32{}
	}
	number := make([]uint32, len(p.Frames))
	for i := range p.Frames {
		f := &p.Frames[i]
		name := frameName(f)
		n, known := t.names[name]
		if !known {
			n = uint32(len(t.frames))
			t.names[name] = n
			class := "c"
			if isGo(f) {
				class = "go"
			}
			h := fnv.New64a()
			io.WriteString(h, name)
			t.frames = append(t.frames, flameName{name, frameText(f), class, h.Sum64()})
		}
		number[i] = n
	}
	for i := range p.Samples {
		s := &p.Samples[i]
		if s.Values[value] <= 0 {
			continue
		}
		for j, f := range s.Stack {
			s.Stack[j] = number[f]
		}
		t.stacks = append(t.stacks, flameStack{s.Stack, s.Values[value]})
	}
}

// flameID is what a place in the tree is known by: the same for the same path of names, in every profile. rootID is that of
// the root.
type flameID uint64

const rootID flameID = 0

func (id flameID) below(n *flameName) flameID {
	// Two steps of multiplication, so that the order of the names counts.
	return flameID((uint64(id)^n.hash)*0x9e3779b97f4a7c15 ^ uint64(id)>>29)
}

func (id flameID) String() string { return strconv.FormatUint(uint64(id), 36) }

// flameNode is a place of the tree that is drawn, and the stacks that pass through it.
type flameNode struct {
	frame       *flameName
	id          flameID
	value       int64
	depth       int // of the frame: 0 is the root, which is no frame of a stack
	stacks      []flameStack
	left, width float64
}

// children splits the stacks of a node by their next frame, largest first. It sorts them in place.
func (t *flameStacks) children(n *flameNode) []*flameNode {
	depth := n.depth // of the next frame, in the stacks
	slices.SortStableFunc(n.stacks, func(a, b flameStack) int {
		x, inA := a.at(depth)
		y, inB := b.at(depth)
		switch {
		case inA != inB && inB:
			return -1 // those that end here
		case inA != inB:
			return 1
		}
		return cmp.Compare(x, y)
	})
	var out []*flameNode
	for i := 0; i < len(n.stacks); {
		frame, ok := n.stacks[i].at(depth)
		end, value := i, int64(0)
		for end < len(n.stacks) {
			if f, in := n.stacks[end].at(depth); in != ok || f != frame {
				break
			}
			value += n.stacks[end].value
			end++
		}
		if ok {
			name := &t.frames[frame]
			out = append(out, &flameNode{frame: name, id: n.id.below(name), value: value, depth: depth + 1, stacks: n.stacks[i:end]})
		}
		i = end
	}
	slices.SortFunc(out, func(a, b *flameNode) int {
		if a.value != b.value {
			return cmp.Compare(b.value, a.value)
		}
		return strings.Compare(a.frame.name, b.frame.name)
	})
	return out
}

var flameRoot = &flameName{name: "all", detail: "all", class: "other"}

// find returns the nodes from the root down to the one with that id, and nil when there is none. The last has its stacks.
func (t *flameStacks) find(id flameID) []*flameNode {
	root := &flameNode{frame: flameRoot, id: rootID, stacks: t.stacks}
	for i := range t.stacks {
		root.value += t.stacks[i].value
	}
	path := []*flameNode{root}
	if id == rootID {
		return path
	}
	for i := range t.stacks {
		s, at := &t.stacks[i], rootID
		for depth := range s.frames {
			frame, _ := s.at(depth)
			if at = at.below(&t.frames[frame]); at == id {
				goto found
			}
		}
		continue
	found:
		// Down the path of this stack. One copy of the list shrinks on the way; the sums are all that the others need.
		frames := slices.Clone(s.frames)
		left := slices.Clone(t.stacks)
		for at := root; at.id != id; {
			depth := at.depth
			next := &flameNode{frame: &t.frames[frames[len(frames)-1-depth]], depth: depth + 1}
			next.id = at.id.below(next.frame)
			left = slices.DeleteFunc(left, func(s flameStack) bool {
				f, ok := s.at(depth)
				return !ok || &t.frames[f] != next.frame
			})
			for i := range left {
				next.value += left[i].value
			}
			path = append(path, next)
			at = next
		}
		path[len(path)-1].stacks = left
		return path
	}
	return nil
}

// flameQueue holds the nodes that may be drawn next, the largest on top; of equal ones that which is higher.
type flameQueue []*flameNode

func (q flameQueue) Len() int      { return len(q) }
func (q flameQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q flameQueue) Less(i, j int) bool {
	if q[i].value != q[j].value {
		return q[i].value > q[j].value
	}
	return q[i].depth < q[j].depth
}
func (q *flameQueue) Push(n any) { *q = append(*q, n.(*flameNode)) }
func (q *flameQueue) Pop() any {
	last := len(*q) - 1
	n := (*q)[last]
	*q = (*q)[:last]
	return n
}

// draw appends the frames of a path, whose last node is at full width, and of what is below that: the largest first, so that
// a picture too full for flameFrames lacks the smallest.
func (t *flameStacks) draw(p *flamePage, path []*flameNode) {
	last := path[len(path)-1]
	for _, n := range path[:len(path)-1] {
		n.width = 1
		p.frame(n)
	}
	last.width = 1
	queue := flameQueue{last}
	for len(queue) > 0 {
		n := heap.Pop(&queue).(*flameNode)
		if len(p.Frames) >= flameFrames+len(path) {
			p.Cut = true
			return
		}
		p.frame(n)
		if n.depth-last.depth >= flameDepth {
			continue
		}
		left := n.left
		for _, c := range t.children(n) {
			c.left, c.width = left, n.width*float64(c.value)/float64(n.value)
			if c.width < flameLeast {
				break // and so are all that follow
			}
			left += c.width
			heap.Push(&queue, c)
		}
		n.stacks = nil
	}
}

// frame appends a node. Of its name as much is sent as may fit in.
func (p *flamePage) frame(n *flameNode) {
	percent := func(part float64) string { return strconv.FormatFloat(100*part, 'f', 3, 64) + "%" }
	href := p.Top
	if n.id != rootID {
		href += "&at=" + n.id.String()
	}
	p.Height = max(p.Height, (n.depth+1)*flameRow)
	p.Frames = append(p.Frames, flameFrame{X: percent(n.left), Width: percent(n.width), Y: n.depth * flameRow, Class: n.frame.class,
		Name:   cut(n.frame.name, min(longName, int(flameScreen*n.width)+1)),
		Detail: fmt.Sprintf("%s: %s, %.1f %%", cut(n.frame.detail, longName), size(n.value), 100*float64(n.value)/float64(p.Total)), Href: href})
}

func serveFlame(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	query := serving.Query(w, r, "of", "at")
	if query == nil {
		return
	}
	of := query.Get("of")
	if of == "" {
		of = "c"
	}
	p := &flamePage{Program: filepath.Base(os.Args[0]), Nonce: rand.Text(), Top: "flame?of=" + url.QueryEscape(of)}
	var filter *capi.Filter
	known := false
	for _, s := range flameSources {
		p.Sources = append(p.Sources, flameLink{s.title, "flame?of=" + s.key, s.key == of})
		if s.key == of {
			p.Title, filter, known = s.title, s.filter, true
		}
	}
	if !known {
		serving.Error(w, http.StatusBadRequest, fmt.Sprintf(`invalid value %.100q for "of" - must be c, all, old, peak or alloc`, of))
		return
	}
	id := rootID
	if at := query.Get("at"); at != "" {
		n, err := strconv.ParseUint(at, 36, 64)
		if err != nil {
			serving.Error(w, http.StatusBadRequest, fmt.Sprintf(`invalid value %.100q for "at" - must be the number of a frame, as the picture's links have it`, at))
			return
		}
		id = flameID(n)
	}
	if !capi.Supported {
		serving.Error(w, http.StatusNotImplemented, cgoheap.ErrUnsupported.Error())
		return
	}
	if r.Method == http.MethodHead { // the headers need no picture
		pageHeaders(w, p.Nonce)
		return
	}
	leave := serving.Enter(w, r, flameGate)
	if leave == nil {
		return
	}
	defer leave()
	value := inuseSpace
	if of == "alloc" {
		value = allocSpace
	}
	t, err := flameOf(filter, value)
	if err != nil {
		serving.Error(w, http.StatusInternalServerError, err.Error())
		return
	}
	if len(t.stacks) > 0 {
		path := t.find(id)
		if path == nil {
			p.Gone = true
			path = t.find(rootID)
		} else if id != rootID {
			p.At = cut(path[len(path)-1].frame.detail, wholeName)
		}
		p.Total = path[0].value
		t.draw(p, path)
	}
	var out bytes.Buffer
	if err := flameTemplate.Execute(&out, p); err != nil {
		serving.Error(w, http.StatusInternalServerError, err.Error())
		return
	}
	leave()
	pageHeaders(w, p.Nonce)
	serving.Send(w, r, began, out.Bytes())
}

// Values of a heap profile.
const allocSpace, inuseSpace = 1, 3

// flameOf makes the profiles and takes them apart.
func flameOf(filter *capi.Filter, value int) (*flameStacks, error) {
	t := &flameStacks{}
	add := func(data []byte) error {
		p, err := profiledata.DecodeCompact(data)
		if err != nil {
			return err
		}
		if len(p.SampleTypes) != 4 {
			return fmt.Errorf("cgoheap: a heap profile with the values %q", p.SampleTypes)
		}
		t.add(p, value)
		return nil
	}
	if filter == nil {
		filter = &capi.Filter{}
		var g bytes.Buffer
		if err := pprof.Lookup("heap").WriteTo(&g, 0); err != nil {
			return nil, err
		}
		if err := add(g.Bytes()); err != nil {
			return nil, err
		}
	}
	s, err := capi.TakeFiltered(*filter)
	if err != nil {
		return nil, err
	}
	data, err := s.Encode(0)
	s.Free()
	if err != nil {
		return nil, err
	}
	return t, add(data)
}
