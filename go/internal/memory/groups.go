package memory

import (
	"cmp"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
)

// Group is mappings that are the same to a reader: of one file, or nobody's of one size.
type Group struct {
	Path   string // empty for anonymous memory
	Count  int
	Size   uint64 // of one mapping, for anonymous memory; of all, for a file
	RSS    uint64
	Clean  uint64 // the part of RSS that are pages of the file itself: the system takes them back when it needs memory
	Memory bool   // the file is on no disk, so that its pages are never taken back (tmpfs)
	Start  uint64 // of the largest
	Growth int64  // of RSS since the beginning of the verdict's window
	most   uint64
}

// Shared says whether the pages are shared memory, which no disk holds: they are never taken back.
func (g *Group) Shared() bool {
	if g.Memory {
		return true
	}
	for _, prefix := range []string{"/memfd:", "/dev/shm/", "/SYSV", "/dev/zero", "/anon_hugepage", "[anon_shmem"} {
		if strings.HasPrefix(g.Path, prefix) {
			return true
		}
	}
	return false
}

// IsFile says whether it is a file's mappings.
func (g *Group) IsFile() bool { return g.Path != "" && g.Path[0] != '[' }

// Key is the same for the same group in another measurement.
func (g *Group) Key() uint64 {
	h := fnv.New64a()
	h.Write([]byte(g.Path))
	if !g.IsFile() {
		h.Write([]byte(strconv.FormatUint(g.Size, 16)))
	}
	return h.Sum64()
}

// Groups takes pieces together that are the same to a reader, those with most resident memory first.
func Groups(pieces []Piece) []Group {
	type same struct {
		path string
		size uint64
	}
	var groups []Group
	at := map[same]int{}
	for _, p := range pieces {
		key := same{path: p.Path}
		if file := p.Path != "" && p.Path[0] != '['; !file {
			key.size = p.Mapping
		}
		i, known := at[key]
		if !known {
			i = len(groups)
			at[key] = i
			groups = append(groups, Group{Path: p.Path, Size: key.size})
		}
		g := &groups[i]
		g.Count++
		g.RSS += p.RSS
		g.Clean += p.Clean
		if g.IsFile() {
			g.Size += p.Mapping
		}
		if p.RSS >= g.most {
			g.most, g.Start = p.RSS, p.Start
		}
	}
	slices.SortFunc(groups, func(a, b Group) int { return cmp.Or(cmp.Compare(b.RSS, a.RSS), cmp.Compare(a.Start, b.Start)) })
	return groups
}
