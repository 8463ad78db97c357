package capi

import (
	"encoding/binary"
	"reflect"
	"runtime"
)

// nameTable names Go return addresses and writes the table that cgoheap_snapshot_name_go reads; its format is in
// cgoheap.h. The names stay in memory no longer than the table: Go's own tables are quick to ask.
func nameTable(pcs []uint64) []byte {
	t := nameWriter{index: make(map[string]uint32)}
	t.word(&t.frames, uint32(len(pcs)))
	for _, pc := range pcs {
		t.name(uintptr(pc))
	}
	out := binary.LittleEndian.AppendUint32(nil, uint32(len(t.index)))
	out = append(out, t.strings...)
	return append(out, t.frames...)
}

type nameWriter struct {
	index   map[string]uint32
	strings []byte // as in the table, behind its count
	frames  []byte // as in the table, with its count
}

func (t *nameWriter) word(to *[]byte, value uint32) {
	*to = binary.LittleEndian.AppendUint32(*to, value)
}

// string returns the index of s in the table.
func (t *nameWriter) string(s string) uint32 {
	i, known := t.index[s]
	if !known {
		i = uint32(len(t.index))
		t.index[s] = i
		t.word(&t.strings, uint32(len(s)))
		t.strings = append(t.strings, s...)
		t.strings = append(t.strings, make([]byte, -len(s)&3)...)
	}
	return i
}

// name appends the frames of one return address, innermost first.
//
// Frames.Next expands an address into its inlined functions only as long as another address follows in the list: from
// runtime.Callers, whose lists hold them already, the last one comes expanded. So one is put behind, which no stack
// holds and at which the list ends.
func (t *nameWriter) name(pc uintptr) {
	count := len(t.frames)
	t.word(&t.frames, 0)
	n := uint32(0)
	frames := runtime.CallersFrames([]uintptr{pc, sentinelEntry + 1})
	for {
		frame, more := frames.Next()
		if frame.PC == sentinelEntry || frame.PC == 0 {
			break
		}
		t.word(&t.frames, t.string(frame.Function))
		t.word(&t.frames, t.string(frame.File))
		t.word(&t.frames, uint32(frame.Line))
		t.word(&t.frames, uint32(startLine(&frame)))
		n++
		if !more {
			break
		}
	}
	binary.LittleEndian.PutUint32(t.frames[count:], n)
}

// sentinel is never called, so its addresses are on no stack. Being Go code, it is never shown to a symbolizer that the
// program may have set by runtime.SetCgoTraceback.
//
//go:noinline
func sentinel() {}

var sentinelEntry = reflect.ValueOf(sentinel).Pointer()

// startLineField is the place of runtime.Frame's private field startLine: the line of the keyword func, which is known for
// inlined functions too. Reading an int by reflection is safe; if a later Go lacks the field, the entry's line serves.
var startLineField = func() []int {
	field, ok := reflect.TypeFor[runtime.Frame]().FieldByName("startLine")
	if !ok || field.Type.Kind() != reflect.Int {
		return nil
	}
	return field.Index
}()

// startLine returns the first line of the frame's function, or 0 when it isn't known.
func startLine(frame *runtime.Frame) int {
	if startLineField != nil {
		return int(reflect.ValueOf(frame).Elem().FieldByIndex(startLineField).Int())
	}
	if frame.Func == nil { // inlined
		return 0
	}
	_, line := frame.Func.FileLine(frame.Entry)
	return line
}
