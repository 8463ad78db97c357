package look

import (
	"bytes"
	"strings"
	"testing"

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

func TestFlameTree(t *testing.T) {
	p := &profiledata.Profile{Samples: []profiledata.Sample{
		{Stack: frames("malloc_a", "main.f", "main.main"), Values: []int64{0, 0, 0, 60}},
		{Stack: frames("malloc_b", "main.f", "main.main"), Values: []int64{0, 0, 0, 30}},
		{Stack: frames("malloc_a", "main.g", "main.main"), Values: []int64{0, 0, 0, 10}},
		{Stack: frames("gone", "main.main"), Values: []int64{0, 0, 0, 0}},
		{Stack: []profiledata.Frame{{Address: 0x40}}, Values: []int64{0, 0, 0, 100}},
	}}
	root := newFlameTree(p, 3)
	page := &flamePage{Total: root.value}
	root.draw(page, 0, 1, 0, flameDepth, func(id string) string { return id })
	var got []string
	for _, f := range page.Frames {
		got = append(got, strings.Join([]string{f.Name, f.Class, f.X, f.Width}, " "))
	}
	want := []string{
		"all rest 0.000% 100.000%", "0x40 c 0.000% 50.000%", "main.main go 50.000% 50.000%", "main.f go 50.000% 45.000%",
		"malloc_a c 50.000% 30.000%", "malloc_b c 80.000% 15.000%", "main.g go 95.000% 5.000%", "malloc_a c 95.000% 5.000%",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%q\nwant %q", got, want)
	}
	if page.Height != 4*flameRow {
		t.Errorf("%d rows", page.Height/flameRow)
	}
	// A frame is found again in the next profile, by its path; the same name elsewhere is another one.
	again := newFlameTree(p, 3)
	for i, f := range page.Frames[1:] {
		path := again.find(f.Href)
		if path == nil || path[len(path)-1].name != f.Name {
			t.Errorf("%d: %s isn't found", i, f.Name)
		}
	}
	if path := again.find(page.Frames[7].Href); len(path) != 4 || path[2].name != "main.g" || again.find("nothing") != nil {
		t.Errorf("%v", path)
	}
}

func TestFlamePageEscapesNames(t *testing.T) {
	p := &profiledata.Profile{Samples: []profiledata.Sample{
		{Stack: frames(`std::vector<a<script>alert(1)</script>, "b">`), Values: []int64{0, 0, 0, 1}}}}
	root := newFlameTree(p, 3)
	page := &flamePage{Total: 1, Nonce: "n"}
	root.draw(page, 0, 1, 0, flameDepth, func(id string) string { return "flame?at=" + id })
	var out bytes.Buffer
	if err := flameTemplate.Execute(&out, page); err != nil {
		t.Fatal(err)
	}
	if s := out.String(); strings.Contains(s, "<script") || !strings.Contains(s, "std::vector&lt;a&lt;script&gt;") || !strings.Contains(s, `href="flame?at=`) {
		t.Errorf("%s", s)
	}
}
