package look

import (
	"fmt"
	"time"
)

// size formats bytes for people.
func size[T int64 | uint64](bytes T) string {
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

// duration formats a time for people.
func duration(d time.Duration) string {
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

func perMinute(bytes int64, d time.Duration) string {
	if d <= 0 {
		return "0 B"
	}
	return size(int64(float64(bytes) / d.Minutes()))
}
