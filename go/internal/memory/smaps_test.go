package memory

import (
	"os"
	"testing"
)

func TestMappingsThatChangeWhileTheyAreRead(t *testing.T) {
	got := ParseSmaps([]byte(`00400000-00402000 r--p 00000000 fe:00 10362975                           /tmp/with space
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
`), nil)
	want := []Mapping{
		{Start: 0x400000, End: 0x402000, Rights: "r--p", Path: "/tmp/with space", RSS: 8 << 10},
		{Start: 0x402000, End: 0x405000, Rights: "rw-p", RSS: 12 << 10},
		{Start: 0x405000, End: 0x406000, Rights: "rw-p", RSS: 4 << 10},
		{Start: 0x7ffc41962000, End: 0x7ffc41983000, Rights: "rw-p", Path: "[stack]", RSS: 4 << 10},
	}
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%+v, want %+v", got[i], want[i])
		}
	}
}

// The page measures every two seconds: what that allocates in Go is garbage of a program that wants to know its memory.
func TestReadingItselfMakesLittleGarbage(t *testing.T) {
	if _, err := os.Stat("/proc/self/smaps"); err != nil {
		t.Skip(err)
	}
	var r reader
	read := func() {
		if _, err := r.owners(0); err != nil {
			t.Fatal(err)
		}
	}
	read() // makes the room that later ones use
	if n := testing.AllocsPerRun(5, read); n > 40 {
		t.Errorf("%v allocations", n)
	}
}
