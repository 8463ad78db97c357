/*
 * cgoheap.h, or how to have it found. A copy for a package of yours, with -include in place of cgoheap.h:
 *
 *     //go:generate go run github.com/cgoheap/cgoheap/go/cmd/cgoheap find .
 *     // #cgo CPPFLAGS: -include ${SRCDIR}/cgoheap_find.h
 */
#if !defined(CGOHEAP_FIND_H)
#define CGOHEAP_FIND_H

#if defined(__has_include)
#if !__has_include(<cgoheap.h>)
#error "cgoheap.h is not found. For this shell: export CGO_CPPFLAGS=$(go run github.com/cgoheap/cgoheap/go/cmd/cgoheap cflags)"
#endif
#endif
#include <cgoheap.h>

#endif
