package look_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
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

// save keeps a picture in $CGOHEAP_PICTURES, when that is set.
func save(t *testing.T, name string, picture []byte) {
	t.Helper()
	if folder := os.Getenv("CGOHEAP_PICTURES"); folder != "" {
		if err := os.WriteFile(filepath.Join(folder, name), picture, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPageInABrowser(t *testing.T) {
	url := start(t, "zstd")
	until(t, url, "c-leak", "finalizers")
	time.Sleep(3 * time.Second)
	ctx, complaints := browser(t)

	var shapes, buttons int
	var say, last, before string
	var picture []byte
	run(t, ctx,
		log.Enable(),
		chromedp.EmulateViewport(1200, 1000),
		chromedp.Navigate(url+"/debug/cgoheap/"),
		chromedp.WaitVisible("#chart svg polygon"),
		chromedp.Evaluate(`document.querySelectorAll("#chart svg polygon").length`, &shapes),
		chromedp.Evaluate(`document.querySelectorAll("#ranges button").length`, &buttons),
		chromedp.Text("#say", &say),
		chromedp.FullScreenshot(&picture, 100))
	save(t, "look.png", picture)
	if shapes != 5 || buttons != 2 || !strings.Contains(say, "leak") {
		t.Errorf("%d shapes, %d buttons, %q", shapes, buttons, say)
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

	// On a phone, and in the dark: nothing wider than the screen, text of a size to read.
	var width, screen, font float64
	var ground string
	run(t, ctx,
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}),
		chromedp.EmulateViewport(360, 740, chromedp.EmulateMobile),
		chromedp.Reload(),
		chromedp.WaitVisible("#chart svg polygon"),
		chromedp.Evaluate(`document.documentElement.scrollWidth`, &width),
		chromedp.Evaluate(`innerWidth`, &screen),
		chromedp.Evaluate(`parseFloat(getComputedStyle(document.body).fontSize)`, &font),
		chromedp.Evaluate(`getComputedStyle(document.body).backgroundColor`, &ground),
		chromedp.FullScreenshot(&picture, 100))
	save(t, "look-phone.png", picture)
	if width > 360 || screen > 360 || font < 16 || ground == "rgb(255, 255, 255)" {
		t.Errorf("page of %v on a screen of %v, text of %v, ground %s", width, screen, font, ground)
	}

	// By keyboard, and for a screen reader.
	var focus []string
	var unnamed int
	for range 4 {
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
