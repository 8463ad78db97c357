//! The functions that only pass memory on, between malloc and whoever wants it: one list for all readers of a profile.
//!
//! It is the profile's `drop_frames`, so `go tool pprof` shows the function that called `operator new` or `xmalloc` as the leaf, and
//! cgoheap's page reads it from there. The frames themselves stay in the profile: a reader that knows nothing of `drop_frames`
//! shows them, and so does `debug=1`.
//!
//! pprof takes the pattern for whole names, after it cut a name at its parameters (google/pprof, profile/prune.go), and drops
//! from the outermost frame that matches inward. A frame that matches must therefore say nothing about the program. A program's
//! own are added by `CGOHEAP=allocators=NAME|NAME...`, in which `*` stands for anything.

use crate::record::settings;

/// Patterns in the syntax of Go's package regexp.
const PATTERNS: &[&str] = &[
    // C++. The standard library's allocators are often inlined, and are frames all the same.
    r"(.*::)?operator new(\[\])?",
    r"(std|__gnu_cxx)::.*allocator(_traits)?<.*>::allocate",
    r"std::.*::_M_(allocate[a-z_]*|create|create_storage|get_node|create_node)",
    r"(void )?std::.*::(_M_(realloc|default|fill|range)_(insert|append|initialize)|_M_(initialize_map|reallocate_map|create_nodes|mutate)|_Vector_base|_Deque_base)(<.*>)?",
    r"std::__1::__(libcpp_allocate|libcpp_operator_new|allocate_at_least).*",
    // C: xmalloc, g_malloc0_n, CRYPTO_zalloc, vips_tracked_malloc, ZSTD_customMalloc, ts_malloc_default, sqlite3DbMallocRawNN ...
    concat!(
        r"[A-Za-z0-9_]*([mM]|[cC]|[zZ]|[rR]e)alloc",
        r"(z|f|x|[0-9]+|_n|_?array|_default|_warn|_base|_aligned|_at|_node|_internal|_impl|_wrap|_wrapper|_hook|_or_die|_nothrow|_zero|",
        r"_size|_sized|_flags|_safe|_secure|_ctx|_fn|_func|Raw|RawNN|Zero|Loc|Aligned|WithAlarm|Fn|_rt|_ex|_locked|_unlocked|_usable|_debug|_tracked)*"
    ),
    r"[A-Za-z0-9_]*(memalign|aligned_alloc|AlignedAlloc|_aligned_malloc)",
    r"g_slice_(alloc|alloc0|copy)|apr_palloc|ngx_p?n?alloc|_?talloc[a-z_]*|l_alloc|luaM_realloc_|db(Malloc|Realloc)[A-Za-z]*Finish",
    // ImageMagick and GraphicsMagick, PostgreSQL and what is made of it, OpenCV.
    r"(Acquire|Resize)(Magick|Quantum|Aligned|Critical|Virtual|Array)Memory|MagickAllocateMemory|MagickMalloc[A-Za-z]*|MagickRealloc[A-Za-z]*",
    r"(MemoryContext|AllocSet)(Alloc|Realloc)[A-Za-z]*|palloc[a-z0-9_]*|cv::fastMalloc",
    // Rust, between Box::new or a collection and the global allocator.
    r"<?alloc::alloc::.*|<*alloc::raw_vec::.*|std::alloc::.*|__rust_.*|__rustc::.*|__rg_.*|__rdl_.*",
];

/// What the profile says in `drop_frames`. Context: outside hooks.
pub(super) fn drop_frames() -> String {
    let mut all = PATTERNS.join("|");
    for name in settings::allocators().split('|').filter(|name| !name.is_empty()) {
        all.push('|');
        for c in name.chars() {
            match c {
                '*' => all.push_str(".*"),
                c if c.is_ascii_alphanumeric() || c == '_' || c == ':' => all.push(c),
                c => {
                    all.push('\\');
                    all.push(c);
                }
            }
        }
    }
    all
}
