package cgoheap

import (
	"fmt"
	"io"
	"reflect"
	"runtime/pprof"
	"unsafe"

	"github.com/cgoheap/cgoheap/go/internal/capi"
)

// fallbackName is what the /debug/pprof/ page shows when the profile can't be served there: that page shows nothing else of
// ours. Names should not contain spaces.
const fallbackName = "cgoheap(only-by-cgoheap.Handler)"

// register adds the profile to runtime/pprof, and returns why it can't be served from there, or "".
//
// runtime/pprof lets a program register profiles of its own, but it writes them itself, from the Go stacks of calls to
// Profile.Add, which would be the wrong stacks here. Its built-in profiles are of the same type and have two private fields,
// functions that count and write. They are set by reflection, after a look at their names and types.
func register() (problem string) {
	// Another package may register the same name between Lookup and NewProfile, which panics then.
	defer func() {
		if r := recover(); r != nil {
			problem = fmt.Sprint(r)
		}
	}()
	if pprof.Lookup(profileName) != nil {
		return "another package has registered a profile named cgoheap"
	}
	count, ok1 := profileField[func() int]("count")
	write, ok2 := profileField[func(io.Writer, int) error]("write")
	if !ok1 || !ok2 {
		pprof.NewProfile(fallbackName)
		return "this version of runtime/pprof keeps its profiles in another way"
	}
	p := pprof.NewProfile(profileName)
	*count(p) = countLive
	*write(p) = writeProfile
	return ""
}

// profileField looks for a field of pprof.Profile with the given name and type T, and returns a function that points to it.
func profileField[T any](name string) (func(*pprof.Profile) *T, bool) {
	field, ok := reflect.TypeFor[pprof.Profile]().FieldByName(name)
	if !ok || field.Type != reflect.TypeFor[T]() || len(field.Index) != 1 {
		return nil, false
	}
	return func(p *pprof.Profile) *T {
		return (*T)(unsafe.Add(unsafe.Pointer(p), field.Offset))
	}, true
}

// countLive is the number on the /debug/pprof/ page: sampled blocks that are not freed.
func countLive() int {
	return int(capi.ReadStats().LiveSamples)
}
