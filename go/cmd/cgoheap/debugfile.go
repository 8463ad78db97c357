package main

import (
	"debug/dwarf"
	"debug/elf"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cgoheap/cgoheap/go/internal/profiledata"
)

// debugFile is an ELF file with names: an unstripped program or library, or what objcopy --only-keep-debug has kept of it.
type debugFile struct {
	path    string
	buildID string // hexadecimal; empty when there is none
	// text is the address at which the executable segment's first page wants to lie.
	text    uint64
	data    *dwarf.Data  // nil when there is none
	symbols []elf.Symbol // functions, by address
}

const pageMask = 1<<12 - 1

func openDebugFile(path string) (*debugFile, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading names: %w", err)
	}
	defer f.Close()
	d := &debugFile{path: path}
	if d.buildID, err = buildID(f); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	at := slices.IndexFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_LOAD && p.Flags&elf.PF_X != 0 })
	if at < 0 {
		return nil, fmt.Errorf("%s has no code: is it a program, a library or its debug file?", path)
	}
	d.text = f.Progs[at].Vaddr &^ pageMask
	if f.Section(".debug_info") != nil || f.Section(".zdebug_info") != nil {
		if d.data, err = f.DWARF(); err != nil {
			return nil, fmt.Errorf("%s: reading its debug information: %w", path, err)
		}
	}
	// Not those of the dynamic symbol table, which strip leaves: the profile has their names already.
	symbols, _ := f.Symbols() // an error is that there are none
	for _, s := range symbols {
		if elf.ST_TYPE(s.Info) == elf.STT_FUNC && s.Value != 0 {
			d.symbols = append(d.symbols, s)
		}
	}
	if d.data == nil && len(d.symbols) == 0 {
		return nil, fmt.Errorf("%s has no names: it is stripped. Give the file as it was before strip, or what objcopy --only-keep-debug made of that one", path)
	}
	slices.SortStableFunc(d.symbols, func(a, b elf.Symbol) int {
		switch {
		case a.Value < b.Value:
			return -1
		case a.Value > b.Value:
			return 1
		}
		return 0
	})
	return d, nil
}

// buildID reads the note that the linker has written.
func buildID(f *elf.File) (string, error) {
	section := f.Section(".note.gnu.build-id")
	if section == nil {
		return "", nil
	}
	note, err := section.Data()
	if err != nil || len(note) < 16 {
		return "", fmt.Errorf("a build id that can't be read: %v", err)
	}
	// Three words: length of the name, of the content, type; then "GNU\0" and the content.
	n := int(f.ByteOrder.Uint32(note[4:]))
	if 16+n > len(note) {
		return "", fmt.Errorf("a build id of %d bytes in a note of %d", n, len(note))
	}
	return hex.EncodeToString(note[16 : 16+n]), nil
}

// is says whether the object of a profile is this file. Without a build id on either side its name must do.
func (d *debugFile) is(o profiledata.Object) bool {
	if d.buildID != "" || o.BuildID != "" {
		return d.buildID == o.BuildID
	}
	return strings.TrimSuffix(filepath.Base(d.path), ".debug") == filepath.Base(o.Path)
}

// lines names an address of the object as it was loaded, innermost function first.
func (d *debugFile) lines(o profiledata.Object, address uint64) []profiledata.Line {
	pc := address - o.Start&^pageMask + d.text
	lines := d.dwarfLines(pc)
	// Debug information that dwz has split has names in another file.
	if len(lines) > 0 && !slices.ContainsFunc(lines, func(l profiledata.Line) bool { return l.Function == "" }) {
		return lines
	}
	at, found := slices.BinarySearchFunc(d.symbols, pc, func(s elf.Symbol, pc uint64) int {
		if s.Value < pc {
			return -1
		} else if s.Value > pc {
			return 1
		}
		return 0
	})
	if !found {
		at--
	}
	if at < 0 || pc-d.symbols[at].Value >= max(d.symbols[at].Size, 1) {
		return nil
	}
	return []profiledata.Line{{Function: d.symbols[at].Name}}
}

// dwarfLines looks the address up in the debug information: its line, and the functions that were inlined there.
func (d *debugFile) dwarfLines(pc uint64) []profiledata.Line {
	if d.data == nil {
		return nil
	}
	r := d.data.Reader()
	unit, err := r.SeekPC(pc)
	if err != nil {
		return nil
	}
	table, err := d.data.LineReader(unit)
	if err != nil || table == nil {
		return nil
	}
	var at dwarf.LineEntry
	if table.SeekPC(pc, &at) != nil {
		return nil
	}
	files := table.Files()
	// The functions that hold the address, outermost first: each entry lies in the one before it.
	var path []*dwarf.Entry
	for depth := 0; ; {
		e, err := r.Next()
		if err != nil || e == nil {
			break
		}
		if e.Tag == 0 {
			if depth--; depth < 0 {
				break
			}
			continue
		}
		if e.Tag == dwarf.TagCompileUnit {
			break
		}
		isFunction := e.Tag == dwarf.TagSubprogram || e.Tag == dwarf.TagInlinedSubroutine
		holds := isFunction && d.holds(e, pc)
		if holds {
			path = append(path, e)
		}
		switch {
		case !e.Children:
		case isFunction && !holds:
			r.SkipChildren()
		default: // also blocks and namespaces
			depth++
		}
	}
	var lines []profiledata.Line
	file, line := fileName(at.File), int64(at.Line)
	for i := len(path) - 1; i >= 0; i-- {
		lines = append(lines, profiledata.Line{Function: d.functionName(path[i]), File: file, Line: line})
		// Where this one was inlined is the line of the next.
		callFile, _ := path[i].Val(dwarf.AttrCallFile).(int64)
		line, _ = path[i].Val(dwarf.AttrCallLine).(int64)
		file = ""
		if callFile >= 0 && callFile < int64(len(files)) {
			file = fileName(files[callFile])
		}
	}
	return lines
}

func fileName(f *dwarf.LineFile) string {
	if f == nil {
		return ""
	}
	return f.Name
}

func (d *debugFile) holds(e *dwarf.Entry, pc uint64) bool {
	ranges, err := d.data.Ranges(e)
	return err == nil && slices.ContainsFunc(ranges, func(r [2]uint64) bool { return r[0] <= pc && pc < r[1] })
}

// functionName is the name for the linker where there is one, as of C++, which pprof makes readable; else the source's.
func (d *debugFile) functionName(e *dwarf.Entry) string {
	name := ""
	for range 8 { // from a copy to what it is a copy of, to its declaration
		if linked, ok := e.Val(dwarf.AttrLinkageName).(string); ok {
			return linked
		}
		if own, ok := e.Val(dwarf.AttrName).(string); ok && name == "" {
			name = own
		}
		origin, ok := e.Val(dwarf.AttrAbstractOrigin).(dwarf.Offset)
		if !ok {
			if origin, ok = e.Val(dwarf.AttrSpecification).(dwarf.Offset); !ok {
				break
			}
		}
		r := d.data.Reader()
		r.Seek(origin)
		next, err := r.Next()
		if err != nil || next == nil {
			break
		}
		e = next
	}
	return name
}
