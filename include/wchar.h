/* The system's <wchar.h>, kept clear of cgoheap's macros; see "redirection" in cgoheap.h. */
#pragma GCC system_header
#include "cgoheap_macros_off.h"
#include_next <wchar.h>
#include "cgoheap_macros_on.h"
