package profiledata

import (
	"bytes"
	"reflect"
	"runtime/pprof"
	"testing"
)

var kept [][]byte

// The same as Decode says, of a real profile.
func TestCompactIsTheSameProfile(t *testing.T) {
	for i := range 200 {
		kept = append(kept, make([]byte, 10_000*i))
	}
	for _, name := range []string{"heap", "allocs", "goroutine"} {
		var out bytes.Buffer
		if err := pprof.Lookup(name).WriteTo(&out, 0); err != nil {
			t.Fatal(err)
		}
		want, err := Decode(out.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeCompact(out.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got.SampleTypes, want.SampleTypes) || len(got.Samples) != len(want.Samples) || len(got.Samples) == 0 {
			t.Fatalf("%s: %v, %d samples; want %v, %d", name, got.SampleTypes, len(got.Samples), want.SampleTypes, len(want.Samples))
		}
		for i := range got.Samples {
			s := Sample{Values: got.Samples[i].Values}
			for _, f := range got.Samples[i].Stack {
				s.Stack = append(s.Stack, got.Frames[f])
			}
			if !reflect.DeepEqual(s, want.Samples[i]) {
				t.Errorf("%s: %+v, want %+v", name, s, want.Samples[i])
			}
		}
	}
}

func TestCompactRefusesWhatIsNoProfile(t *testing.T) {
	var out bytes.Buffer
	if err := pprof.Lookup("heap").WriteTo(&out, 0); err != nil {
		t.Fatal(err)
	}
	data := out.Bytes()
	for _, bad := range [][]byte{nil, []byte("text"), data[:len(data)/2]} {
		if _, err := DecodeCompact(bad); err == nil {
			t.Errorf("%d bytes are read as a profile", len(bad))
		}
	}
}
