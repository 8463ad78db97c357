package human

import (
	"strings"
	"testing"
)

const mib = 1 << 20

func TestSizes(t *testing.T) {
	for bytes, want := range map[int64]string{0: "0 B", 999: "999 B", 1024: "1.0 KiB", 200 << 10: "200 KiB", -3 * mib: "-3.0 MiB", 5 << 30: "5.00 GiB", 1000 * mib: "0.98 GiB"} {
		if got := Size(bytes); got != want {
			t.Errorf("%d: %s, want %s", bytes, got, want)
		}
	}
}

func TestSizesAsPeopleWriteThem(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "7": 7, "7B": 7, "512K": 512 << 10, "512KiB": 512 << 10, "512kib": 512 << 10, "10KB": 10_000, "3mb": 3_000_000,
		"2GB": 2_000_000_000, "2G": 2 << 30, "1TiB": 1 << 40, "9223372036854775807": 1<<63 - 1,
	} {
		if got, err := ParseSize(text); got != want || err != nil {
			t.Errorf("%s: %d, %v, want %d", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"": "no size", "GB": "no size", "-1": "no size", "1.5GB": "the unit of", "1X": "the unit of", "1KX": "the unit of", "1iB": "the unit of",
		"1BB": "the unit of", "1GG": "the unit of", "1 GB": "the unit of", "1km": "the unit of", "9223372036854775808": "more bytes", "8388608TiB": "more bytes",
	} {
		if got, err := ParseSize(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %d, %v, want %q", text, got, err, want)
		}
	}
}
