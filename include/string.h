/* The system's <string.h>, kept clear of cgoheap's macros; see "redirection" in cgoheap.h. */
#pragma GCC system_header
#include "cgoheap_macros_off.h"
#include_next <string.h>
#include "cgoheap_macros_on.h"
