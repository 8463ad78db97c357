// Package interpose makes cgoheap see every malloc of the process, with no change to any C source:
//
//	import _ "github.com/cgoheap/cgoheap/go/interpose"
//
// The import defines malloc, free and their relatives in the executable, over glibc's own. Every call of malloc is seen:
// C.CString and C.malloc, other cgo packages, prebuilt archives, shared libraries (those opened later by dlopen
// too), C++'s operator new, and libc itself (strdup, getline, asprintf). It goes together with the header: what the header
// sees is counted once, and keeps its exact line.
//
// An allocator that is a shared library (linked with -ljemalloc, or LD_PRELOAD) stays the program's allocator: our functions
// call its malloc and free, and those are seen. What it offers under other names (mallocx, or an operator new of its own) is
// not. (One whose calloc is made of calls of malloc, by that name, would have its alloc_ values counted twice; jemalloc,
// tcmalloc and mimalloc are not such.)
//
// It steps aside where another allocator owns the memory; [github.com/cgoheap/cgoheap/go.Stats] says so in Interpose:
//
//   - the program links an allocator of its own statically (jemalloc, tcmalloc, mimalloc): that one stays. Build with
//     -tags cgoheap_wrap to use the linker's --wrap instead, which catches the calls in whatever is linked statically,
//     over any allocator.
//   - builds with -asan or -msan: the sanitizer owns malloc, the import does nothing;
//   - c-shared libraries that a program opens: malloc is the host program's. (One that the host is linked with comes
//     before libc: then it is malloc for the whole process.)
//   - a fully static glibc: its own malloc is linked in. With -tags cgoheap_wrap its calls are seen.
//
// Not seen in any case: memory from mmap, and arenas that a library manages itself.
package interpose

import _ "github.com/cgoheap/cgoheap/go" // the profile
