package look

import (
	"bytes"
	"crypto/rand"
	_ "embed"
	"fmt"
	"hash/fnv"
	"html/template"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	cgoheap "github.com/cgoheap/cgoheap/go"
	"github.com/cgoheap/cgoheap/go/internal/capi"
	"github.com/cgoheap/cgoheap/go/internal/profiledata"
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

// flamesAtATime bounds what flame graphs take of memory and time: a profile and its tree each.
var flamesAtATime = make(chan struct{}, 2)

// flamePage is an icicle: callers above, what they call below, as wide as the bytes they stand for. Each frame is a link to
// itself at full width, so it needs no script.
type flamePage struct {
	Program, Nonce, Title string
	Sources               []flameLink
	Frames                []flameFrame
	Total                 int64
	Height                int
	Zoomed                bool
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

// flameNode is a function in a place of the tree.
type flameNode struct {
	name, detail, class string
	id                  string // the same for the same path of names, in every profile
	value               int64
	children            map[string]*flameNode
}

func newFlameNode(parent *flameNode, f *profiledata.Frame) *flameNode {
	n := &flameNode{name: frameName(f), detail: frameText(f), class: "c", children: map[string]*flameNode{}}
	if isGo(f) {
		n.class = "go"
	}
	h := fnv.New64a()
	h.Write([]byte(parent.id))
	h.Write([]byte{0})
	h.Write([]byte(n.name))
	n.id = strconv.FormatUint(h.Sum64(), 36)
	return n
}

// frameName is what frames are taken together by: the function, or the address of one that has no name.
func frameName(f *profiledata.Frame) string {
	if f.Function != "" {
		return f.Function
	}
	return frameText(f)
}

// newFlameTree adds up one value of a profile.
func newFlameTree(p *profiledata.Profile, value int) *flameNode {
	root := &flameNode{name: "all", detail: "all", class: "rest", children: map[string]*flameNode{}}
	for i := range p.Samples {
		s := &p.Samples[i]
		v := s.Values[value]
		if v <= 0 {
			continue
		}
		root.value += v
		at := root
		for j := range slices.Backward(s.Stack) {
			f := &s.Stack[j]
			next := at.children[frameName(f)]
			if next == nil {
				next = newFlameNode(at, f)
				at.children[frameName(f)] = next
			}
			next.value += v
			at = next
		}
	}
	return root
}

// find returns the nodes from n down to the one with that id.
func (n *flameNode) find(id string) []*flameNode {
	if n.id == id {
		return []*flameNode{n}
	}
	for _, c := range n.children {
		if path := c.find(id); path != nil {
			return append([]*flameNode{n}, path...)
		}
	}
	return nil
}

// draw appends the node and what is below it; left and width are parts of the picture.
func (n *flameNode) draw(p *flamePage, left, width float64, depth, rows int, href func(id string) string) {
	percent := func(part float64) string { return strconv.FormatFloat(100*part, 'f', 3, 64) + "%" }
	p.Height = max(p.Height, (depth+1)*flameRow)
	p.Frames = append(p.Frames, flameFrame{X: percent(left), Width: percent(width), Y: depth * flameRow, Class: n.class, Name: n.name,
		Detail: fmt.Sprintf("%s: %s, %.1f %%", n.detail, size(n.value), 100*float64(n.value)/float64(p.Total)), Href: href(n.id)})
	if rows == 0 {
		return
	}
	children := make([]*flameNode, 0, len(n.children))
	for _, c := range n.children {
		children = append(children, c)
	}
	slices.SortFunc(children, func(a, b *flameNode) int {
		if a.value != b.value {
			return sign(b.value - a.value)
		}
		return strings.Compare(a.name, b.name)
	})
	for _, c := range children {
		w := width * float64(c.value) / float64(n.value)
		if w < flameLeast {
			return // and so are all that follow
		}
		c.draw(p, left, w, depth+1, rows-1, href)
		left += w
	}
}

func serveFlame(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "use GET", http.StatusMethodNotAllowed)
		return
	}
	of := r.URL.Query().Get("of")
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
		http.Error(w, fmt.Sprintf("invalid value %q for of - must be c, all, old, peak or alloc", of), http.StatusBadRequest)
		return
	}
	if !capi.Supported {
		http.Error(w, cgoheap.ErrUnsupported.Error(), http.StatusNotImplemented)
		return
	}
	select {
	case flamesAtATime <- struct{}{}:
		defer func() { <-flamesAtATime }()
	default:
		w.Header().Set("Retry-After", "1")
		http.Error(w, "too many flame graphs at a time", http.StatusServiceUnavailable)
		return
	}
	data, err := flameData(filter)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	profile, err := profiledata.Decode(data)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	const allocSpace, inuseSpace = 1, 3
	value := inuseSpace
	if of == "alloc" {
		value = allocSpace
	}
	root := newFlameTree(profile, value)
	p.Total = root.value
	if p.Total > 0 {
		href := func(id string) string {
			if id == "" {
				return p.Top
			}
			return p.Top + "&at=" + id
		}
		path := []*flameNode{root}
		if at := r.URL.Query().Get("at"); at != "" {
			if found := root.find(at); found != nil {
				path, p.Zoomed = found, true
			} else {
				p.Gone = true
			}
		}
		// Those above the frame that was asked for are as wide as it.
		for depth, n := range path[:len(path)-1] {
			above := &flameNode{name: n.name, detail: n.detail, class: n.class, id: n.id, value: n.value}
			above.draw(p, 0, 1, depth, 0, href)
		}
		path[len(path)-1].draw(p, 0, 1, len(path)-1, flameDepth, href)
	}
	var out bytes.Buffer
	if err := flameTemplate.Execute(&out, p); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	servePageText(w, out.Bytes(), p.Nonce)
}

// flameData makes the profile.
func flameData(filter *capi.Filter) ([]byte, error) {
	if filter == nil {
		return allHeap()
	}
	s, err := capi.TakeFiltered(*filter)
	if err != nil {
		return nil, err
	}
	defer s.Free()
	return s.Encode(0)
}
