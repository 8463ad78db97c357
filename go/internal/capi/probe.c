//go:build linux && (amd64 || arm64) && cgo

#include "_cgo_export.h"

/* Both add to a variable after the call, so that neither is compiled to a jump: the stack keeps their frames. */
static volatile int returned;

void cgoheap_capi_probe_outer(struct cgoheap_go_probe *out)
{
    cgoheapInternalProbe(out);
    returned++;
}

void cgoheap_capi_probe_inner(struct cgoheap_go_probe *out)
{
    cgoheap_go_probe(out);
    returned++;
}
