package human

import "testing"

const mib = 1 << 20

func TestSizes(t *testing.T) {
	for bytes, want := range map[int64]string{0: "0 B", 999: "999 B", 1024: "1.0 KiB", 200 << 10: "200 KiB", -3 * mib: "-3.0 MiB", 5 << 30: "5.00 GiB", 1000 * mib: "0.98 GiB"} {
		if got := Size(bytes); got != want {
			t.Errorf("%d: %s, want %s", bytes, got, want)
		}
	}
}
