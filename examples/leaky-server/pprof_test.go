//go:build linux && (amd64 || arm64) && cgo

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// profile is what `go tool pprof` reads in a heap profile.
type profile struct {
	header  string // everything in front of the samples
	samples []sample
}

type sample struct {
	stack  []string // "function file:line", leaf first, inlined functions too
	values values
}

// values are those of a heap profile.
type values struct {
	allocBlocks, allocBytes, inUseBlocks, inUseBytes int64
}

func (v values) sub(o values) values {
	return values{v.allocBlocks - o.allocBlocks, v.allocBytes - o.allocBytes,
		v.inUseBlocks - o.inUseBlocks, v.inUseBytes - o.inUseBytes}
}

// sum adds up the samples that match.
func (p *profile) sum(match func(stack []string) bool) (sum values) {
	for _, s := range p.samples {
		if match(s.stack) {
			sum = sum.sub(values{}.sub(s.values))
		}
	}
	return sum
}

var (
	sampleLine   = regexp.MustCompile(`^ +(-?\d+) +(-?\d+) +(-?\d+) +(-?\d+): ([\d ]*)$`)
	locationLine = regexp.MustCompile(`^ +(\d+): 0x[0-9a-f]+ (?:M=\d+ )?(.*)$`)
	frameLine    = regexp.MustCompile(`^(\S+) (.+):(\d+):\d+ s=\d+`)
)

// readProfile has `go tool pprof` check a profile and write it as text, and reads that.
func readProfile(t *testing.T, data string) *profile {
	t.Helper()
	file := filepath.Join(t.TempDir(), "profile")
	if err := os.WriteFile(file, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.Command("go", "tool", "pprof", "-raw", "-symbolize=none", file)
	command.Stderr = os.Stderr
	raw, err := command.Output()
	if err != nil {
		t.Fatalf("go tool pprof: %v", err)
	}
	sections := strings.SplitN("\n"+string(raw), "\nSamples:\n", 2)
	if len(sections) != 2 {
		t.Fatalf("go tool pprof -raw has another form:\n%s", raw)
	}
	p := &profile{header: sections[0] + "\n"}
	samples, rest, _ := strings.Cut(sections[1], "\nLocations\n")
	locations, _, found := strings.Cut("\n"+rest, "\nMappings\n")
	if !found {
		t.Fatalf("go tool pprof -raw has another form:\n%s", raw)
	}

	frames := map[string][]string{} // by number of location
	number := ""
	for line := range strings.Lines(strings.TrimPrefix(locations, "\n")) {
		line = strings.TrimRight(line, "\n")
		if m := locationLine.FindStringSubmatch(line); m != nil {
			number, line = m[1], m[2]
		}
		line = strings.TrimSpace(line)
		if m := frameLine.FindStringSubmatch(line); m != nil {
			line = fmt.Sprintf("%s %s:%s", m[1], filepath.Base(m[2]), m[3])
		}
		frames[number] = append(frames[number], line)
	}

	for line := range strings.Lines(samples) {
		m := sampleLine.FindStringSubmatch(strings.TrimRight(line, "\n"))
		if m == nil {
			continue // the names of the values, and labels
		}
		var s sample
		for i, value := range []*int64{&s.values.allocBlocks, &s.values.allocBytes, &s.values.inUseBlocks, &s.values.inUseBytes} {
			*value, _ = strconv.ParseInt(m[i+1], 10, 64)
		}
		for _, number := range strings.Fields(m[5]) {
			s.stack = append(s.stack, frames[number]...)
		}
		p.samples = append(p.samples, s)
	}
	return p
}
