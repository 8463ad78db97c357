// Package human formats numbers for people: bytes in binary units, and times.
package human

import (
	"fmt"
	"math"
	"strconv"
	"strings"
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

// ParseSize reads bytes as people write them: 512, 512KiB, 1MiB, 2GiB, of which 512K, 1M and 2G are the short forms, and 512KB, 1MB,
// 2GB, which are powers of 1000; capitals and small letters are the same. It is what CGOHEAP=limit= takes.
func ParseSize(text string) (int64, error) {
	digits := len(text) - len(strings.TrimLeft(text, "0123456789"))
	if digits == 0 {
		return 0, fmt.Errorf("%q is no size: it must be a whole number of bytes, such as 512KiB or 2GB", text)
	}
	unit := strings.ToLower(text[digits:])
	base, letter := int64(1024), strings.TrimSuffix(unit, "ib")
	if decimal, ok := strings.CutSuffix(unit, "b"); ok && letter == unit {
		base, letter = 1000, decimal
	}
	power := strings.Index("kmgt", letter)
	switch {
	case letter == "" && unit != "ib":
		power = -1
	case len(letter) != 1 || power < 0:
		return 0, fmt.Errorf("the unit of %q is none of B, KB, MB, GB, TB (powers of 1000), KiB, MiB, GiB, TiB, K, M, G, T (powers of 1024)", text)
	}
	n, err := strconv.ParseInt(text[:digits], 10, 64)
	for ; power >= 0 && err == nil; power-- {
		if n > math.MaxInt64/base {
			err = strconv.ErrRange
			break
		}
		n *= base
	}
	if err != nil {
		return 0, fmt.Errorf("%q is more bytes than there can be", text)
	}
	return n, nil
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
