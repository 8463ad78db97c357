//go:build linux && amd64

#include "_cgo_export.h"

/* Both add to a variable after the call, so that neither is compiled to a jump: the stack keeps their frames. */
static volatile int returned;

void cgoheap_internal_probe_enter(void *function, void *argument)
{
    cgoheapInternalProbe(function, argument);
    returned++;
}

void cgoheap_internal_probe_leaf(void *function, void *argument)
{
    ((void (*)(void *))function)(argument);
    returned++;
}
