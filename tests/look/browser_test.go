package look_test

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browser opens a headless Chromium, and returns a function that tells what its console has complained of.
func browser(t *testing.T) (context.Context, func() []string) {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Fatal("no Chromium: scripts/test-look.sh installs it")
	}
	// Without a sandbox, which containers don't allow, on our own pages only.
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-dev-shm-usage", true))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(cancel)
	var mu sync.Mutex
	var complaints []string
	chromedp.ListenTarget(ctx, func(event any) {
		mu.Lock()
		defer mu.Unlock()
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			complaints = append(complaints, e.ExceptionDetails.Error())
		case *runtime.EventConsoleAPICalled:
			complaints = append(complaints, "console."+e.Type.String())
		case *log.EventEntryAdded:
			complaints = append(complaints, e.Entry.Text)
		}
	})
	return ctx, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return complaints
	}
}

func run(t *testing.T, ctx context.Context, actions ...chromedp.Action) {
	t.Helper()
	if err := chromedp.Run(ctx, actions...); err != nil {
		t.Fatal(err)
	}
}

// save keeps a picture in $CGOHEAP_PICTURES, when that is set: its upper rows, in the 256 colours that are most frequent in it,
// which is a fifth of the bytes.
func save(t *testing.T, name string, picture []byte, rows int) {
	t.Helper()
	folder := os.Getenv("CGOHEAP_PICTURES")
	if folder == "" {
		return
	}
	full, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		t.Fatal(err)
	}
	bounds := full.Bounds()
	bounds.Max.Y = min(bounds.Max.Y, rows)
	frequency := map[color.Color]int{}
	for y := range bounds.Max.Y {
		for x := range bounds.Max.X {
			frequency[full.At(x, y)]++
		}
	}
	colours := slices.SortedFunc(maps.Keys(frequency), func(a, b color.Color) int { return frequency[b] - frequency[a] })
	small := image.NewPaletted(bounds, colours[:min(256, len(colours))])
	draw.Draw(small, bounds, full, image.Point{}, draw.Src)
	file, err := os.Create(filepath.Join(folder, name))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(file, small); err != nil {
		t.Fatal(err)
	}
}

func TestPageInABrowser(t *testing.T) {
	url := start(t, "zstd")
	until(t, url, "c-leak", "finalizers")
	time.Sleep(3 * time.Second)
	ctx, complaints := browser(t)

	var shapes, buttons int
	var axis string
	var say, last, before string
	var picture []byte
	run(t, ctx,
		log.Enable(),
		chromedp.EmulateViewport(1200, 1000),
		chromedp.Navigate(url+"/debug/cgoheap/"),
		chromedp.WaitVisible("#chart svg polygon"),
		chromedp.Evaluate(`document.querySelectorAll("#chart svg polygon").length`, &shapes),
		chromedp.Evaluate(`document.querySelectorAll("#ranges button").length`, &buttons),
		chromedp.Text("#sentence", &say),
		chromedp.Evaluate(`[...document.querySelectorAll("#chart text")].map(e => e.textContent).join(" ")`, &axis),
		chromedp.FullScreenshot(&picture, 100))
	save(t, "look.png", picture, 1740)
	if shapes != 5 || buttons != 2 || !strings.Contains(say, "leak") {
		t.Errorf("%d shapes, %d buttons, %q", shapes, buttons, say)
	}
	if !regexp.MustCompile(`^0 \d+ [MG]iB .*\d+:\d\d:\d\d .*\d+:\d\d:\d\d$`).MatchString(axis) {
		t.Errorf("the axes say %q", axis)
	}
	run(t, ctx,
		chromedp.AttributeValue("#chart", "aria-label", &before, nil),
		chromedp.Click(`#ranges button[data-series="Life"]`),
		chromedp.WaitVisible(`#ranges button[data-series="Life"][aria-pressed="true"]`),
		chromedp.Click(`form[action="gc"] button`),
		chromedp.WaitVisible("#last"),
		chromedp.Text("#last", &last))
	if !strings.Contains(last, "garbage collection") || !strings.Contains(before, "Resident memory from") {
		t.Errorf("after gc: %q; chart %q", last, before)
	}
	run(t, ctx,
		chromedp.Click(`form[action="trim"] button`))
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(last, "malloc_trim"); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after trim: %q", last)
		}
		// Between the pages there is none: that is no failure.
		_ = chromedp.Run(ctx, chromedp.Evaluate(`document.querySelector("#last")?.textContent ?? ""`, &last))
	}

	refreshes(t, ctx)

	// On a phone, and in the dark: nothing wider than the screen, text of a size to read.
	var width, screen, font, fold float64
	var stacks int
	var ground string
	run(t, ctx,
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}),
		chromedp.EmulateViewport(360, 844, chromedp.EmulateMobile),
		chromedp.Reload(),
		chromedp.WaitVisible("#chart svg polygon"),
		chromedp.Evaluate(`document.documentElement.scrollWidth`, &width),
		chromedp.Evaluate(`innerWidth`, &screen),
		chromedp.Evaluate(`parseFloat(getComputedStyle(document.body).fontSize)`, &font),
		chromedp.Evaluate(`getComputedStyle(document.body).backgroundColor`, &ground),
		// Where the largest stacks end, on a usual phone.
		chromedp.Evaluate(`document.querySelector("#top").getBoundingClientRect().bottom`, &fold),
		chromedp.Evaluate(`document.querySelectorAll("#top li").length`, &stacks),
		chromedp.FullScreenshot(&picture, 100))
	if stacks == 0 || fold > 844 {
		t.Errorf("%d stacks on the first screen, which end at %v", stacks, fold)
	}
	save(t, "look-phone.png", picture, 2000)
	if width > 360 || screen > 360 || font < 16 || ground == "rgb(255, 255, 255)" {
		t.Errorf("page of %v on a screen of %v, text of %v, ground %s", width, screen, font, ground)
	}

	// By keyboard, and for a screen reader.
	var focus []string
	var unnamed int
	for range 8 {
		var name string
		run(t, ctx, chromedp.KeyEvent("\t"), chromedp.Evaluate(`document.activeElement.tagName + ":" + document.activeElement.textContent.trim().slice(0, 20)`, &name))
		focus = append(focus, name)
	}
	run(t, ctx, chromedp.Evaluate(`[...document.querySelectorAll("button, select, a, th, [role=img]")].filter(e => !e.hasAttribute("aria-hidden") &&
		!(e.textContent.trim() || e.getAttribute("aria-label"))).length`, &unnamed))
	if !strings.Contains(strings.Join(focus, " "), "BUTTON:recent") || unnamed != 0 {
		t.Errorf("tab goes to %q, %d elements have no name", focus, unnamed)
	}
	if c := complaints(); len(c) != 0 {
		t.Errorf("the console says %q", c)
	}
}

// refreshes checks that the page renews itself, keeps open what is, and does neither while it is paused.
func refreshes(t *testing.T, ctx context.Context) {
	t.Helper()
	var before, after, paused, label string
	var open bool
	measured := func(into *string) chromedp.Action {
		return chromedp.Evaluate(`document.querySelector("#measured").textContent`, into)
	}
	const row = `#stacks-growing details`
	run(t, ctx, chromedp.WaitVisible("#pause"), measured(&before), chromedp.Click(row+" summary"), chromedp.WaitVisible(row+"[open] ol"))
	after = before
	for deadline := time.Now().Add(20 * time.Second); after == before; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the page has not renewed itself: %s", before)
		}
		run(t, ctx, measured(&after))
	}
	run(t, ctx,
		chromedp.Evaluate(`document.querySelector("`+row+`").open && document.activeElement.tagName === "SUMMARY"`, &open),
		chromedp.Click("#pause"),
		chromedp.WaitVisible(`#pause[aria-pressed="true"]`),
		measured(&before),
		chromedp.Sleep(7*time.Second), // longer than the pause between two
		measured(&paused),
		chromedp.Text("#refreshed", &label))
	if !open || paused != before || !strings.HasPrefix(label, "paused at ") {
		t.Errorf("open and focused %v; %q has become %q while %q", open, before, paused, label)
	}
	// Its own answer at once, and then again.
	run(t, ctx, chromedp.Click("#pause"), chromedp.WaitVisible(`#pause[aria-pressed="false"]`))
	for deadline := time.Now().Add(20 * time.Second); paused == before; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the page has not gone on: %s", before)
		}
		run(t, ctx, measured(&paused))
	}
}

func TestFlameGraphInABrowser(t *testing.T) {
	url := start(t, "zstd")
	until(t, url, "c-leak", "finalizers")
	ctx, complaints := browser(t)
	run(t, ctx,
		log.Enable(),
		chromedp.EmulateViewport(1200, 800),
		chromedp.Navigate(url+"/debug/cgoheap/"),
		// Not by its place: the link may be broken in two lines.
		chromedp.Evaluate(`document.querySelector('a[href="flame?of=all"]').click()`, nil),
		chromedp.WaitReady("#flame"))
	// All widths of main.compress are less than the whole, and a click on it makes it as wide as that.
	const find = `[...document.querySelectorAll("#flame a")].find(a => a.querySelector("text").textContent == %q)`
	width := func(name string) (w, whole, children float64) {
		t.Helper()
		frame := fmt.Sprintf(find, name)
		run(t, ctx,
			chromedp.Evaluate(frame+`.querySelector("rect").getBoundingClientRect().width`, &w),
			chromedp.Evaluate(`document.querySelector("#flame").getBoundingClientRect().width`, &whole),
			chromedp.Evaluate(`document.querySelectorAll("#flame rect.c").length`, &children))
		return w, whole, children
	}
	var picture []byte
	run(t, ctx, chromedp.CaptureScreenshot(&picture))
	save(t, "look-flame.png", picture, 520)
	before, whole, c := width("main.compress")
	if before >= whole || before < whole/2 || c < 3 {
		t.Errorf("main.compress is %v of %v wide, %v frames are C's", before, whole, c)
	}
	run(t, ctx,
		chromedp.Evaluate(fmt.Sprintf(find, "main.compress")+`.dispatchEvent(new MouseEvent("click", {bubbles: true, cancelable: true}))`, nil),
		chromedp.WaitVisible(`main a[href="flame?of=all"]`))
	if after, whole, _ := width("main.compress"); after != whole {
		t.Errorf("main.compress is %v of %v wide after the click", after, whole)
	}
	var wide float64
	var ground string
	for _, of := range []string{"c", "old", "peak", "alloc"} {
		run(t, ctx,
			emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}),
			chromedp.EmulateViewport(360, 740, chromedp.EmulateMobile),
			chromedp.Navigate(url+"/debug/cgoheap/flame?of="+of),
			chromedp.WaitVisible(`[aria-current="page"]`),
			chromedp.Evaluate(`document.documentElement.scrollWidth`, &wide),
			chromedp.Evaluate(`getComputedStyle(document.body).backgroundColor`, &ground))
		if wide > 360 || ground == "rgb(255, 255, 255)" {
			t.Errorf("%s: a page of %v on a phone, ground %s", of, wide, ground)
		}
	}
	if c := complaints(); len(c) != 0 {
		t.Errorf("the console says %q", c)
	}
}
