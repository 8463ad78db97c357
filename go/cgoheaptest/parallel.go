package cgoheaptest

import (
	"reflect"
	"strings"
	"testing"
	"unsafe"

	"github.com/cgoheap/cgoheap/go/internal/profiledata"
)

// Which tests are running beside the one that verifies? The testing package says it to nobody, but every test has a
// pointer to its parent, and the parent a list of the parallel tests below it. The fields are read by reflection, each
// checked by name and type. A test appears on the list when it calls t.Parallel, and is done when it and its
// subtests have ended.
//
//	                 sub
//	main test  ------------->  TestA (done)   TestB (running)   TestC (waits in t.Parallel)
//	    ^                                        | sub
//	    | parent                                 v
//	TestD, which verifies                     TestB/x

// testFields holds the offsets of the fields in testing.common; known is false when this Go version has others.
var testFields = func() (f struct {
	known                   bool
	parent, sub, done, name uintptr
}) {
	common, ok := reflect.TypeFor[testing.T]().FieldByName("common")
	if !ok || common.Offset != 0 || common.Type.Kind() != reflect.Struct {
		return f
	}
	offset := func(name string, t reflect.Type) (uintptr, bool) {
		field, ok := common.Type.FieldByName(name)
		return field.Offset, ok && len(field.Index) == 1 && field.Type == t
	}
	var ok1, ok2, ok3, ok4 bool
	f.parent, ok1 = offset("parent", reflect.PointerTo(common.Type))
	f.sub, ok2 = offset("sub", reflect.TypeFor[[]*testing.T]())
	f.done, ok3 = offset("done", reflect.TypeFor[bool]())
	f.name, ok4 = offset("name", reflect.TypeFor[string]())
	f.known = ok1 && ok2 && ok3 && ok4
	return f
}()

// othersUnfinished returns the names of the tests, beside t and those above it, that have called t.Parallel and aren't done,
// t's own subtests among them. It returns nil when t is no *testing.T, and when the fields aren't known.
//
// Lists are read of tests above t only, which nobody appends to meanwhile: they have ended their sequential part, or are
// waiting for the one test that runs. A test's done is set without a lock; whether we see it a moment sooner or later makes
// no difference, and the race detector needn't look.
//
//go:norace
func othersUnfinished(t TestingT) []string {
	test, ok := t.(*testing.T)
	if !ok || test == nil || !testFields.known {
		return nil
	}
	var names []string
	var below unsafe.Pointer
	for at := unsafe.Pointer(test); at != nil; at = *(*unsafe.Pointer)(unsafe.Add(at, testFields.parent)) {
		for _, sub := range *(*[]*testing.T)(unsafe.Add(at, testFields.sub)) {
			other := unsafe.Pointer(sub)
			if other != below && !*(*bool)(unsafe.Add(other, testFields.done)) {
				names = append(names, *(*string)(unsafe.Add(other, testFields.name)))
			}
		}
		below = at
	}
	return names
}

// sides says whose leaks they are, from the view of the test with the given name while others are unfinished: the test's
// own, or not to be told apart. Those of other unfinished tests are in neither.
func sides(leaks []leak, name string, others []string) (own, unclear []leak) {
	if len(others) == 0 {
		return leaks, nil
	}
	running := map[string]bool{}
	for _, other := range others {
		for _, part := range strings.Split(other, "/") { // a suite's methods are subtests by name
			running[part] = true
		}
	}
	mine, _, _ := strings.Cut(name, "/")
	for _, l := range leaks {
		owner := testOf(l.stack)
		switch {
		case owner == "" || owner == mine && running[mine]:
			unclear = append(unclear, l)
		case owner != mine && running[owner]:
		default:
			own = append(own, l)
		}
	}
	return own, unclear
}

// testOf returns the name of the outermost test function on the stack, or "". Closures in it are named after it.
func testOf(stack []profiledata.Frame) string {
	for i := len(stack) - 1; i >= 0; i-- {
		function := stack[i].Function
		if strings.HasPrefix(function, "C.") {
			continue
		}
		_, function, _ = strings.Cut(function[strings.LastIndexByte(function, '/')+1:], ".")
		for _, part := range strings.Split(function, ".") {
			if isTestName(part) {
				return part
			}
		}
	}
	return ""
}

// isTestName says whether go test takes a function of that name for a test.
func isTestName(name string) bool {
	for _, prefix := range []string{"Test", "Fuzz", "Benchmark", "Example"} {
		if rest, ok := strings.CutPrefix(name, prefix); ok && (rest == "" || rest[0] < 'a' || rest[0] > 'z') {
			return true
		}
	}
	return false
}
