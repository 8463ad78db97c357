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
    STATS(stacks_no_room);
    STATS(modules_table_full);
    STATS(peak_bytes);
    STATS(peak_time_nanos);
    printf("cgoheap_go_probe %zu\n", sizeof(struct cgoheap_go_probe));
    PROBE(boundary);
    PROBE(callback);
    PROBE(n_pcs);
    PROBE(pcs);
    printf("cgoheap_filter %zu\n", sizeof(struct cgoheap_filter));
    FIELD(cgoheap_filter, since_mark);
    FIELD(cgoheap_filter, flags);
    FIELD(cgoheap_filter, min_age_nanos);
    FIELD(cgoheap_filter, max_age_nanos);
    printf("cgoheap_stack %zu\n", sizeof(struct cgoheap_stack));
    FIELD(cgoheap_stack, id);
    FIELD(cgoheap_stack, alloc_objects);
    FIELD(cgoheap_stack, alloc_bytes);
    FIELD(cgoheap_stack, inuse_objects);
    FIELD(cgoheap_stack, inuse_bytes);
    printf("cgoheap_range %zu\n", sizeof(struct cgoheap_range));
    FIELD(cgoheap_range, start);
    FIELD(cgoheap_range, bytes);
    return 0;
}
