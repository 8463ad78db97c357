// Package interpose makes cgoheap see every malloc of the process, with no change to any C source:
//
//	import _ "github.com/cgoheap/cgoheap/go/interpose"
//
// The import defines malloc, free and their relatives in the executable, over glibc's own. Whoever calls malloc comes
// through: C.CString and C.malloc, other cgo packages, prebuilt archives, shared libraries (those opened later by dlopen
// too), C++'s operator new, and libc itself (strdup, getline, asprintf). It goes together with the header: what the header
// sees is counted once, and keeps its exact line.
//
// It steps aside where the memory is somebody else's; [github.com/cgoheap/cgoheap/go.Stats] says so in Interpose:
//
//   - the program links an allocator of its own (jemalloc, tcmalloc, mimalloc): that one stays. Build with
//     -tags cgoheap_wrap to use the linker's --wrap instead, which catches the calls in whatever is linked statically,
//     over any allocator;
//   - builds with -asan or -msan: the sanitizer owns malloc, the import does nothing;
//   - c-shared libraries: malloc is the host program's;
//   - a fully static glibc: its own malloc is linked in. Use -tags cgoheap_wrap there too.
//
// Not seen in any case: memory from mmap, and arenas that a library manages itself.
package interpose

import _ "github.com/cgoheap/cgoheap/go" // the profile
