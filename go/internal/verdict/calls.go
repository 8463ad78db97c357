package verdict

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Frame is one function on a stack.
type Frame struct {
	Function  string // empty: it has no name
	Text      string // with its line, as shown
	Object    string // the file that it is in, without its folder; empty: not known
	Go        bool
	Own       bool // of the program's own module
	Allocator bool // passes memory on: operator new, xmalloc
	Cut       bool // no frame, but says why the stack ends here
}

// Stack is a stack and how many bytes it stands for.
type Stack struct {
	Bytes  int64
	Frames []Frame // leaf first
}

// C is the function that a reader knows an allocation by: the innermost that has a name and is no allocator. Of libc's functions it is
// the one that was called: fopen, not what makes its buffer. Without a name it is the innermost.
func (s *Stack) C() (text string) {
	for i := range s.Frames {
		f := &s.Frames[i]
		if f.Cut || f.Go {
			break
		}
		if text == "" {
			text = f.Text
		}
		if f.Function == "" || f.Allocator {
			continue
		}
		for next := i + 1; f.inLibc() && next < len(s.Frames) && s.Frames[next].inLibc(); next++ {
			if s.Frames[next].Function != "" {
				f = &s.Frames[next]
			}
		}
		return f.Text
	}
	if text == "" && len(s.Frames) > 0 {
		text = s.Frames[0].Text
	}
	return text
}

func (f *Frame) inLibc() bool {
	return strings.HasPrefix(f.Object, "libc.so.") || strings.HasPrefix(f.Object, "libc-2.") || strings.HasPrefix(f.Object, "ld-musl-")
}

// shares are tried in this order: a call that holds nearly all, most, or half of the bytes.
var shares = []float64{0.9, 0.75, 0.5}

// nearly: of what is below the program's own call, a library's call that holds so much is named too.
const nearly = 0.9

// function is a function and the bytes of the stacks that it is on.
type function struct {
	name  string
	bytes int64
	depth float64            // number of Go functions below it, weighted by bytes
	texts map[string]float64 // its lines
}

func (f *function) text() string {
	best := f.name
	most := 0.0
	for text, bytes := range f.texts {
		if bytes > most || bytes == most && text < best {
			best, most = text, bytes
		}
	}
	return best
}

// goFunctions adds up the bytes of each Go function that is wanted; a function counts once on a stack, where it is innermost.
func goFunctions(stacks []*Stack, wanted func(*Frame) bool) []*function {
	all := map[string]*function{}
	for _, s := range stacks {
		depth := 0
		seen := map[string]bool{}
		for i := range s.Frames {
			f := &s.Frames[i]
			if !f.Go {
				continue
			}
			depth++
			if seen[f.Function] || !wanted(f) {
				continue
			}
			seen[f.Function] = true
			g := all[f.Function]
			if g == nil {
				g = &function{name: f.Function, texts: map[string]float64{}}
				all[f.Function] = g
			}
			g.bytes += s.Bytes
			g.depth += float64(s.Bytes) * float64(depth)
			g.texts[f.Text] += float64(s.Bytes)
		}
	}
	list := make([]*function, 0, len(all))
	for _, f := range all {
		f.depth /= float64(f.bytes)
		list = append(list, f)
	}
	slices.SortFunc(list, func(a, b *function) int { return cmp.Or(cmp.Compare(a.depth, b.depth), cmp.Compare(a.name, b.name)) })
	return list
}

// innermost is the innermost function that holds at least this share of the bytes; nil when there is none.
func innermost(list []*function, total int64, share float64) *function {
	for _, f := range list {
		if float64(f.bytes) >= share*float64(total) {
			return f
		}
	}
	return nil
}

// everywhere: every request and every goroutine is below these, so they say nothing.
func everywhere(f *Frame) bool {
	for _, prefix := range []string{"runtime.", "net/http.", "testing.", "internal/", "golang.org/x/net/http2."} {
		if strings.HasPrefix(f.Function, prefix) {
			return true
		}
	}
	return f.Function == "main.main"
}

func below(stacks []*Stack, f *function) (on []*Stack) {
	for _, s := range stacks {
		if slices.ContainsFunc(s.Frames, func(frame Frame) bool { return frame.Go && frame.Function == f.name }) {
			on = append(on, s)
		}
	}
	return on
}

func total(stacks []*Stack) (bytes int64) {
	for _, s := range stacks {
		bytes += s.Bytes
	}
	return bytes
}

// NameCall says in a sentence which call the bytes of the stacks are from: the innermost call of the program's own code that
// holds nearly all of them, what it calls of a library, and the C function. It is empty when there are no bytes.
func NameCall(all []Stack) string {
	var stacks []*Stack
	for i := range all {
		if all[i].Bytes > 0 {
			stacks = append(stacks, &all[i])
		}
	}
	sum := total(stacks)
	if sum <= 0 {
		return ""
	}
	percent := func(bytes int64) string { return fmt.Sprintf("%.0f %%", 100*float64(bytes)/float64(sum)) }
	own := goFunctions(stacks, func(f *Frame) bool { return f.Own && f.Function != "main.main" })
	any := goFunctions(stacks, func(f *Frame) bool { return !everywhere(f) })
	mainToo := goFunctions(stacks, func(f *Frame) bool { return f.Own })
	for _, share := range shares {
		call := innermost(own, sum, share)
		if call == nil {
			call = innermost(any, sum, share)
		}
		if call == nil && share == shares[len(shares)-1] {
			call = innermost(mainToo, sum, share)
		}
		if call == nil {
			continue
		}
		on := below(stacks, call)
		text := call.text()
		if deeper := innermost(any, call.bytes, nearly); deeper != nil && deeper.depth < call.depth {
			text += " -> " + deeper.text()
		}
		c, bytes := largest(on, (*Stack).C)
		how := ""
		if float64(bytes) < nearly*float64(call.bytes) {
			how = fmt.Sprintf(" (%s, and in other places)", percent(bytes))
		}
		return fmt.Sprintf("%s of it is below %s, allocated by %s%s.", percent(call.bytes), text, c, how)
	}
	// Several calls: the largest of the innermost ones that are the program's own.
	caller, bytes := largest(stacks, func(s *Stack) string {
		for _, wanted := range []func(*Frame) bool{func(f *Frame) bool { return f.Own }, func(*Frame) bool { return true }} {
			for i := range s.Frames {
				if f := &s.Frames[i]; f.Go && wanted(f) {
					return f.Text
				}
			}
		}
		return ""
	})
	if caller == "" {
		c, bytes := largest(stacks, (*Stack).C)
		return fmt.Sprintf("%s of it is allocated by %s, in stacks without a Go call.", percent(bytes), c)
	}
	c, _ := largest(slices.DeleteFunc(slices.Clone(stacks), func(s *Stack) bool {
		return !slices.ContainsFunc(s.Frames, func(f Frame) bool { return f.Text == caller })
	}), (*Stack).C)
	return fmt.Sprintf("It is from several calls: %s of it is below %s, allocated by %s.", percent(bytes), caller, c)
}

// largest adds up the bytes of the stacks by what name says of them, and returns the name with most.
func largest(stacks []*Stack, name func(*Stack) string) (most string, bytes int64) {
	by := map[string]int64{}
	for _, s := range stacks {
		by[name(s)] += s.Bytes
	}
	for name, b := range by {
		if b > bytes || b == bytes && name < most {
			most, bytes = name, b
		}
	}
	return most, bytes
}

// noGo says whether nearly all of the bytes are of stacks that are whole and have no Go function: of threads that C has made.
func noGo(all []Stack) bool {
	sum, without := int64(0), int64(0)
	for i := range all {
		s := &all[i]
		if s.Bytes <= 0 {
			continue
		}
		sum += s.Bytes
		if !slices.ContainsFunc(s.Frames, func(f Frame) bool { return f.Go || f.Cut }) {
			without += s.Bytes
		}
	}
	return sum > 0 && float64(without) >= nearly*float64(sum)
}

// cutShare: fewer bytes than this share in stacks that were cut are not worth a line.
const cutShare = 0.1

// CutWords says which share of the bytes, of which what says which they are, has stacks that were cut, why and where; empty when
// it is small.
func CutWords(all []Stack, what string) string {
	var stacks, cut []*Stack
	for i := range all {
		s := &all[i]
		if s.Bytes <= 0 {
			continue
		}
		stacks = append(stacks, s)
		if n := len(s.Frames); n > 0 && s.Frames[n-1].Cut {
			cut = append(cut, s)
		}
	}
	sum, bytes := total(stacks), total(cut)
	if sum == 0 || float64(bytes) < cutShare*float64(sum) {
		return ""
	}
	why, _ := largest(cut, func(s *Stack) string { return strings.Trim(s.Frames[len(s.Frames)-1].Function, "[]") })
	where, _ := largest(cut, func(s *Stack) string {
		if len(s.Frames) < 2 {
			return "an unknown place"
		}
		last := &s.Frames[len(s.Frames)-2]
		name := last.Function
		if name == "" {
			name = last.Text
		}
		if last.Object != "" && !strings.HasPrefix(name, last.Object) {
			return fmt.Sprintf("%s, after %s", last.Object, name)
		}
		return name
	})
	return fmt.Sprintf("%.0f %% of %s have stacks that end early (%s), mostly in %s: the Go call above is not known",
		100*float64(bytes)/float64(sum), what, why, where)
}
