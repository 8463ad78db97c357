/* What one sample costs at a given depth of stack. */
#ifndef DEPTH_H
#define DEPTH_H

struct depth_result {
    double warm_ns;      /* a sampled malloc and its free, caches warm, less an unsampled pair */
    double cold_ns;      /* a sampled malloc after 32 MiB of other memory was written, less an unsampled one: median */
    double cold_free_ns; /* its free, likewise */
};

/* Measures below `frames` C frames of this function's own. Leaves the rate at 0. */
void depth_measure(int frames, struct depth_result *out);

#endif
