//go:build linux

package look

import (
	"os"
	"testing"
)

func TestMappingsThatChangeWhileTheyAreRead(t *testing.T) {
	r := reader{raw: []byte(`00400000-00402000 r--p 00000000 fe:00 10362975                           /tmp/with space
Size:                  8 kB
Rss:                   8 kB
VmFlags: rd mr mw me
00402000-00405000 rw-p 00000000 00:00 0
Rss:                  12 kB
00402000-00406000 rw-p 00000000 00:00 0
Rss:                  16 kB
00403000-00405000 rw-p 00000000 00:00 0
Rss:                   8 kB
7ffc41962000-7ffc41983000 rw-p 00000000 00:00 0                          [stack]
Rss:                   4 kB
`)}
	r.parseMappings()
	want := []mapping{
		{0x400000, 0x402000, "r--p", "/tmp/with space", 8 << 10},
		{0x402000, 0x405000, "rw-p", "", 12 << 10},
		{0x405000, 0x406000, "rw-p", "", 4 << 10},
		{0x7ffc41962000, 0x7ffc41983000, "rw-p", "[stack]", 4 << 10},
	}
	if len(r.mappings) != len(want) {
		t.Fatalf("%+v", r.mappings)
	}
	for i := range want {
		if r.mappings[i] != want[i] {
			t.Errorf("%+v, want %+v", r.mappings[i], want[i])
		}
	}
}

func TestReadingItselfMakesLittleGarbage(t *testing.T) {
	if _, err := os.Stat("/proc/self/smaps"); err != nil {
		t.Skip(err)
	}
	var r reader
	read := func() {
		if _, err := r.readOwners(0); err != nil {
			t.Fatal(err)
		}
	}
	read()
	if n := testing.AllocsPerRun(5, read); n > 40 {
		t.Errorf("%v allocations", n)
	}
}
