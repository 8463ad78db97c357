package look

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/cgoheap/cgoheap/go/internal/profiledata"
)

func frames(names ...string) (stack []profiledata.Frame) {
	for _, n := range names {
		f := profiledata.Frame{Function: n, File: "x.c", Line: 3}
		if strings.Contains(n, ".") {
			f.File = "x.go"
		}
		stack = append(stack, f)
	}
	return stack
}

// flameProfile makes a profile of stacks of frames, leaf first, and the bytes that each has in use.
func flameProfile(stacks ...any) *profiledata.Compact {
	p := &profiledata.Compact{SampleTypes: make([]string, 4)}
	known := map[profiledata.Frame]uint32{}
	for i := 0; i < len(stacks); i += 2 {
		s := profiledata.CompactSample{Values: []int64{0, 0, 0, int64(stacks[i+1].(int))}}
		for _, f := range stacks[i].([]profiledata.Frame) {
			n, ok := known[f]
			if !ok {
				n = uint32(len(p.Frames))
				known[f] = n
				p.Frames = append(p.Frames, f)
			}
			s.Stack = append(s.Stack, n)
		}
		p.Samples = append(p.Samples, s)
	}
	return p
}

// drawn is the picture of a profile, at full width the frame with that id.
func drawn(p *profiledata.Compact, id flameID) (*flamePage, bool) {
	var t flameStacks
	t.add(p, inuseSpace)
	path := t.find(id)
	if path == nil {
		return nil, false
	}
	page := &flamePage{Total: path[0].value, Top: "flame?of=c", Nonce: "n"}
	t.draw(page, path)
	slices.SortFunc(page.Frames, func(a, b flameFrame) int {
		x, _ := strconv.ParseFloat(strings.TrimSuffix(a.X, "%"), 64)
		y, _ := strconv.ParseFloat(strings.TrimSuffix(b.X, "%"), 64)
		return cmp.Or(cmp.Compare(a.Y, b.Y), cmp.Compare(x, y))
	})
	return page, true
}

func idOf(t *testing.T, f *flameFrame) flameID {
	t.Helper()
	_, text, _ := strings.Cut(f.Href, "&at=")
	id, err := strconv.ParseUint(cmp.Or(text, "0"), 36, 64)
	if err != nil {
		t.Fatal(err)
	}
	return flameID(id)
}

func texts(page *flamePage) (out []string) {
	for _, f := range page.Frames {
		out = append(out, strings.Join([]string{f.Name, f.Class, f.X, f.Width}, " "))
	}
	return out
}

func TestFlameTree(t *testing.T) {
	profile := func() *profiledata.Compact {
		return flameProfile(
			frames("malloc_a", "main.f", "main.main"), 60, frames("malloc_b", "main.f", "main.main"), 30,
			frames("malloc_a", "main.g", "main.main"), 10, frames("gone", "main.main"), 0, []profiledata.Frame{{Address: 0x40}}, 100)
	}
	page, _ := drawn(profile(), rootID)
	want := []string{
		"all other 0.000% 100.000%", "0x40 c 0.000% 50.000%", "main.main go 50.000% 50.000%",
		"main.f go 50.000% 45.000%", "main.g go 95.000% 5.000%",
		"malloc_a c 50.000% 30.000%", "malloc_b c 80.000% 15.000%", "malloc_a c 95.000% 5.000%",
	}
	if got := texts(page); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%q\nwant %q", got, want)
	}
	if page.Height != 4*flameRow || page.Cut {
		t.Errorf("%d rows", page.Height/flameRow)
	}
	// A frame is found again in the next profile, by its path; the same name elsewhere is another one.
	for i := range page.Frames {
		again, ok := drawn(profile(), idOf(t, &page.Frames[i]))
		if !ok || again.Frames[page.Frames[i].Y/flameRow].Name != page.Frames[i].Name {
			t.Errorf("%d: %s isn't found", i, page.Frames[i].Name)
		}
	}
	last, ok := drawn(profile(), idOf(t, &page.Frames[7]))
	if !ok {
		t.Fatal("the last frame isn't found")
	}
	if want := []string{"all other 0.000% 100.000%", "main.main go 0.000% 100.000%", "main.g go 0.000% 100.000%", "malloc_a c 0.000% 100.000%"}; strings.Join(texts(last), "\n") != strings.Join(want, "\n") ||
		!strings.Contains(last.Frames[1].Detail, "100 B, 50.0 %") {
		t.Errorf("%q\nwant %q", texts(last), want)
	}
	if _, ok := drawn(profile(), 12345); ok {
		t.Error("a frame that isn't there is found")
	}
}

// Of more frames than are drawn at a time those are left out that are smallest, and a click shows them.
func TestFlameGraphOfManyFramesIsCut(t *testing.T) {
	var stacks []any
	for i := range 500 {
		var names []string
		for depth := range 60 {
			names = append(names, fmt.Sprintf("f_%d_%d", i, depth))
		}
		stacks = append(stacks, frames(names...), 1000+i)
	}
	page, _ := drawn(flameProfile(stacks...), rootID)
	if len(page.Frames) > flameFrames+1 || len(page.Frames) < flameFrames || !page.Cut {
		t.Errorf("%d frames, cut: %v", len(page.Frames), page.Cut)
	}
	for i := range page.Frames {
		if page.Frames[i].Y == 0 {
			continue
		}
		if branch := strings.Split(page.Frames[i].Detail, "_"); branch[1] < "4" && len(branch[1]) == 3 {
			t.Fatalf("%s is drawn, larger ones are not", page.Frames[i].Detail)
		}
	}
	if zoomed, ok := drawn(flameProfile(stacks...), idOf(t, &page.Frames[1])); !ok || len(zoomed.Frames) != 61 || zoomed.Cut {
		t.Errorf("below one: %d frames, cut: %v", len(zoomed.Frames), zoomed.Cut)
	}
}

func TestLongNamesAreCutInTheFlameGraph(t *testing.T) {
	name := strings.Repeat("std::map<int, ", 70_000)
	page, _ := drawn(flameProfile(frames(name, "main.main"), 1), rootID)
	for _, f := range page.Frames {
		if n := utf8.RuneCountInString(f.Name); n > longName {
			t.Errorf("%d letters", n)
		}
		if n := utf8.RuneCountInString(f.Detail); n > longName+40 {
			t.Errorf("%d letters in the detail", n)
		}
	}
	if got := cut("äöü", 3) + cut("äöüx", 3) + cut("ä", 1) + cut("äö", 1) + cut("", 1); got != "äöüäö…ä…" {
		t.Error(got)
	}
}

func TestFlamePageEscapesNames(t *testing.T) {
	page, _ := drawn(flameProfile(frames(`std::vector<a<script>alert(1)</script>, "b">`), 1), rootID)
	page.At = `<script>alert(1)</script>`
	var out bytes.Buffer
	if err := flameTemplate.Execute(&out, page); err != nil {
		t.Fatal(err)
	}
	if s := out.String(); strings.Contains(s, "<script") || !strings.Contains(s, "std::vector&lt;a&lt;script&gt;") || !strings.Contains(s, `href="flame?of=c&amp;at=`) {
		t.Errorf("%s", s)
	}
}
