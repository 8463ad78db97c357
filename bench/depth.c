/* depth FRAMES: prints what one sample costs at that depth of C stack; the C part of it is shared with the Go loads. */
#include <stdio.h>
#include <stdlib.h>

#include "cgo/depth.h"

int main(int argc, char **argv) {
    if (argc != 2)
        return 2;
    struct depth_result result;
    depth_measure(atoi(argv[1]) - 2 /* main and its caller */, &result);
    printf("{\"warm_ns\": %.1f, \"cold_ns\": %.1f, \"cold_free_ns\": %.1f}\n", result.warm_ns, result.cold_ns,
           result.cold_free_ns);
    return 0;
}
