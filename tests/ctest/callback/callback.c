//go:build linux && (amd64 || arm64) && cgo

#include "cgoheap.h"

#include "_cgo_export.h"

#include <stdlib.h>

static volatile int returned; /* keeps calls from becoming jumps */

void callback_enter(int depth, unsigned long size)
{
    callbackFromC(depth, size);
    returned++;
}

void *callback_block(unsigned long size)
{
    void *block = malloc(size);
    returned++;
    return block;
}
