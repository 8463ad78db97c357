package look

import "strings"

const (
	// longName is how much of a name lists and pictures show: C++ has names of a megabyte.
	longName = 200
	// wholeName is how much is shown when it was asked for.
	wholeName = 64 << 10
)

// shortCall is a Go function as its callers write it, with the last element of its package's path only.
func shortCall(text string) string {
	end := len(text)
	if i := strings.IndexAny(text, " [("); i >= 0 { // what follows may have slashes of its own
		end = i
	}
	return text[strings.LastIndexByte(text[:end], '/')+1:]
}

// cut returns at most n letters of a text; the last is an ellipsis when there were more.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	letters := 0
	end := 0 // of the first n-1 letters
	for i := range s {
		if letters == n-1 {
			end = i
		}
		if letters == n {
			return s[:end] + "…"
		}
		letters++
	}
	return s
}
