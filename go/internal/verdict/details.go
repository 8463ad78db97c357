package verdict

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/cgoheap/cgoheap/go/internal/allocators"
	"github.com/cgoheap/cgoheap/go/internal/human"
	"github.com/cgoheap/cgoheap/go/internal/memory"
)

// Details is what is looked up once there is a verdict. The zero value knows nothing.
type Details struct {
	Growing []Stack        // C stacks, and how much each grew in the verdict's window
	Cut     []Stack        // C stacks by what they allocated in all, where many were cut
	Mapped  []memory.Group // what the parts Mapped and Files consist of; Growth is in the verdict's window
	// Allocators finds those in the program that aren't glibc's. It is called where what they hold matters.
	Allocators  func() []allocators.Allocator
	Now         *memory.Moment
	FreesUnseen uint64 // sampled blocks that were freed past the hooks
	InDoubt     uint64 // bytes that are called live and may have been freed past the hooks
	Estimated   bool   // glibc was not asked, since its answer would hold up the program
	Unknown     bool   // glibc can't tell what it keeps free
}

// Explain adds to a verdict what is known once it stands: the call that the bytes are from, the mappings by name, and what
// can't be seen. The call is returned, to be said behind the verdict's sentence.
func (v *Verdict) Explain(d *Details) (call string) {
	switch v.Kind {
	case Leak, Finalizers:
		call = NameCall(d.Growing)
		if v.Kind == Leak && noGo(d.Growing) {
			v.Next = "It is allocated in threads that the C library has made. Where it is events, messages or answers for the program, Go code has to take or free " +
				"them, or to set a limit to the queue; else it is the library's own."
		}
		if cut := CutWords(d.Growing, "these bytes"); cut != "" {
			v.Blind = append(v.Blind, cut)
		}
		if d.FreesUnseen > 0 {
			v.Blind = append(v.Blind, fmt.Sprintf("%d sampled blocks were freed where cgoheap doesn't look, so of what it calls live up to %s may be freed too",
				d.FreesUnseen, human.Size(d.InDoubt)))
		}
	case Mapped:
		v.mappedWords(d)
	}
	if len(v.Blind) == 0 {
		if cut := CutWords(d.Cut, "the bytes that C allocated"); cut != "" {
			v.Blind = append(v.Blind, cut)
		}
	}
	matters := d.Now != nil && (v.Kind == Mapped && v.Part == memory.Mapped || v.Kind == Unseen || d.Now.CElsewhere > minGrowth || largePart(d.Now, memory.Mapped))
	if matters && d.Allocators != nil {
		for _, a := range d.Allocators() {
			v.Blind = append(v.Blind, fmt.Sprintf("the program contains another allocator, %s (%s in %s): what it holds is among the anonymous mappings, and %s says how much of that is in use",
				a.Name, a.Symbol, filepath.Base(a.Object), a.Stats))
		}
	}
	if d.Unknown {
		v.Blind = append(v.Blind, "how much malloc keeps free is unknown: this C library can't tell (glibc before 2.33)")
	} else if d.Estimated {
		v.Blind = append(v.Blind, "what malloc keeps free is an estimate by cgoheap's own counters: it may have so many free blocks that asking it would hold up the program")
	}
	return call
}

// largePart: a part of RSS that is worth a word.
func largePart(m *memory.Moment, p memory.Part) bool {
	return m.Resident[p] >= minGrowth && float64(m.Resident[p]) >= 0.1*float64(m.RSS)
}

// namedGroups is how many mappings the verdict names.
const namedGroups = 3

func (v *Verdict) mappedWords(d *Details) {
	files := v.Part == memory.Files
	var names []string
	clean, rss := uint64(0), uint64(0)
	for i := range d.Mapped {
		g := &d.Mapped[i]
		if g.IsFile() != files {
			continue
		}
		rss += g.RSS
		if !g.Shared() {
			clean += g.Clean
		}
		if len(names) < namedGroups && g.Growth > 0 && (len(names) == 0 || g.Growth >= v.Growth/10) {
			names = append(names, GroupWords(g)+fmt.Sprintf(", grew by %s", human.Size(g.Growth)))
		}
	}
	if len(names) > 0 {
		v.Evidence = append(v.Evidence, "what grew most: "+strings.Join(names, "; "))
	}
	if files {
		if clean >= rss/2 {
			v.Evidence = append(v.Evidence, fmt.Sprintf("%s of %s are pages of the files themselves: the system takes such pages back when it needs memory, so it is no leak", human.Size(clean), human.Size(rss)))
			v.Next = "If it is a database or cache by file (LMDB, SQLite, a search index), leave it. What a limit on memory counts is the rest."
		}
		return
	}
	// Who maps is not seen. What C allocates at the same time often is of the same call.
	if call := NameCall(d.Growing); call != "" {
		v.Evidence = append(v.Evidence, "who maps is not seen; of the C memory that came at the same time: "+call)
	}
}

// GroupWords describes mappings that are the same to a reader.
func GroupWords(g *memory.Group) string {
	switch {
	case g.IsFile():
		kind := ""
		if g.Shared() {
			kind = ", shared memory"
		} else if g.Clean > 0 {
			kind = fmt.Sprintf(", of which %s are pages of the file itself", human.Size(g.Clean))
		}
		mappings := ""
		if g.Count > 1 {
			mappings = fmt.Sprintf(" in %d mappings", g.Count)
		}
		return fmt.Sprintf("%s: %s resident of %s%s%s", g.Path, human.Size(g.RSS), human.Size(g.Size), mappings, kind)
	case g.Count > 1:
		return strings.TrimSpace(fmt.Sprintf("%d mappings of %s %s", g.Count, human.Size(g.Size), g.Path)) + fmt.Sprintf(": %s resident", human.Size(g.RSS))
	}
	return strings.TrimSpace(fmt.Sprintf("%#x, %s %s", g.Start, human.Size(g.Size), g.Path)) + fmt.Sprintf(": %s resident", human.Size(g.RSS))
}
