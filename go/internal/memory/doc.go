// Package memory says what the resident memory of a process consists of. From bottom to top:
//
//	smaps.go       /proc/self/smaps, as a list of mappings
//	attribute.go   whose each mapping is, page by page where neighbours share one
//	divide.go      what Go, malloc and cgoheap use theirs for: the parts, which add up to RSS
//	groups.go      mappings that are nobody's, by name and size
//	malloc.go      when glibc's malloc is asked, since an answer takes its locks
//	measure.go     all of it, for the process that this is
//	history.go     the measurements that are kept
//
// All but measure.go and the reading of /proc are pure functions over plain data, so that tests can feed them generated
// mappings. Two rules hold of every measurement: no byte has two owners, and no part has more than is resident in what it
// owns; so the parts add up to RSS.
package memory
