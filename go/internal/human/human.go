// Package human formats numbers for people: bytes in binary units, and times.
package human

import (
	"fmt"
	"time"
)

// Size formats bytes for people.
func Size[T int64 | uint64](bytes T) string {
	f, sign := float64(bytes), ""
	if f < 0 {
		f, sign = -f, "-"
	}
	for _, unit := range []string{"B", "KiB", "MiB"} {
		if f < 1000 {
			if unit == "B" || f >= 99.95 {
				return fmt.Sprintf("%s%.0f %s", sign, f, unit)
			}
			return fmt.Sprintf("%s%.1f %s", sign, f, unit)
		}
		f /= 1024
	}
	return fmt.Sprintf("%s%.2f GiB", sign, f)
}

// Duration formats a time for people.
func Duration(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%.0f h", d.Hours())
	}
	return fmt.Sprintf("%.0f days", d.Hours()/24)
}

// PerMinute formats a rate.
func PerMinute(bytes int64, d time.Duration) string {
	if d <= 0 {
		return "0 B"
	}
	return Size(int64(float64(bytes) / d.Minutes()))
}
