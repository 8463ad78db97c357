/* Prints what C makes of the structs that Rust and C share: name, offset or size, a line each. */
#include "cgoheap.h"
#include <stddef.h>
#include <stdio.h>

#define FIELD(type, name) printf(#type "." #name " %zu\n", offsetof(struct type, name))
#define STATS(name) FIELD(cgoheap_stats, name)
#define PROBE(name) FIELD(cgoheap_go_probe, name)

int main(void) {
    printf("cgoheap_stats %zu\n", sizeof(struct cgoheap_stats));
    STATS(interval_bytes);
    STATS(alloc_objects);
    STATS(alloc_bytes);
    STATS(live_objects);
    STATS(live_bytes);
    STATS(alloc_bytes_margin);
    STATS(live_bytes_margin);
    STATS(samples);
    STATS(live_samples);
    STATS(stacks);
    STATS(own_bytes);
    STATS(go_frames);
    STATS(interpose);
    STATS(samples_no_memory);
    STATS(samples_lock_busy);
    STATS(stacks_table_full);
    STATS(frees_lock_busy);
    STATS(frees_unseen);
    STATS(stacks_too_deep);
    STATS(stacks_no_unwind_info);
    STATS(stacks_bad_unwind_info);
    STATS(stacks_unreadable);
    STATS(stacks_go_system);
    STATS(stacks_go_off);
    STATS(stacks_bad_go);
    STATS(modules_table_full);
    printf("cgoheap_go_probe %zu\n", sizeof(struct cgoheap_go_probe));
    PROBE(boundary);
    PROBE(callback);
    PROBE(n_pcs);
    PROBE(pcs);
    return 0;
}
