package cgoheaptest

import (
	"path/filepath"
	"strings"

	"github.com/cgoheap/cgoheap/go/internal/capi"
	"github.com/cgoheap/cgoheap/go/internal/profiledata"
)

// What is live and yet no leak of a test, through no option of the user's: memory that libc, the dynamic loader and the Go
// runtime keep on purpose. Most of it comes into sight only when the whole process is captured.
//
// Two questions are asked of a stack, in this order:
//
//  1. Does a rule below name a function on it? Rules are for what is kept whoever allocates it: by the loader, by threads, by
//     modules of the name services. Where a rule can hide a leak, it says so.
//  2. Is the block libc's own? Then the innermost frames are libc's. The outermost of these is the function that the program called,
//     the entry. libc hands memory out from few functions, handsOut lists them; what any other function allocates is
//     libc's, and stays for the next call. A list of functions that keep memory was tried the other way round: it never
//     ended (aio_read, getmntent, rpmatch, ttyname, fgetpwent, register_printf_type ...).
//
// Debian's libc has no symbols of its internal functions, so names are those of functions that it exports; with debug symbols
// installed the same names carry prefixes (__GI_setlocale, __pthread_create_2_1), which plainName takes off. Where an
// exported function ends in a jump to an internal one, a libc without symbols shows no entry: see nameless.

// keeper says who keeps the blocks of a stack, or "".
func keeper(l *leak) string {
	for _, rule := range rules {
		if rule.matches(l.stack) {
			return rule.what
		}
	}
	if isExitList(l) {
		return "functions called at exit"
	}
	if keptByLibc(l.stack) {
		return "libc"
	}
	return ""
}

// keptByLibc says whether a block was allocated by libc for itself.
func keptByLibc(stack []profiledata.Frame) bool {
	inside := libcFrames(stack)
	if len(inside) == 0 {
		return false
	}
	entry := inside[len(inside)-1]
	if entry.Function == "" {
		return nameless(inside)
	}
	switch handsOut[exportedName(entry.Function)] {
	case all:
		return false
	case direct:
		return depth(inside) > 1
	}
	return !strings.HasPrefix(plainName(entry.Function), "obstack_") // obstacks are the caller's
}

// nameless says whether libc keeps a block that one of its internal functions allocated, where neither symbols nor the export
// tell which: fopen, vasprintf, opendir and scandir, which hand out, jump to such functions, and so do setenv, gettext,
// rpmatch and lio_listio, which keep. Where they allocate was learnt at the start, by calling them.
func nameless(inside []profiledata.Frame) bool {
	entry := inside[len(inside)-1]
	switch {
	case learnt.handsOut[entry.Offset]:
		return false
	case learnt.keeps[entry.Offset]:
		return true
	}
	return len(learnt.handsOut) > 0 || depth(inside) > 2
}

// learnt are offsets in libc: of return addresses into functions without a name that the program has called, by way of a jump.
// Protected by mu.
var learnt struct {
	stacks          []uint32 // numbers of the stacks to learn from
	done            bool
	handsOut, keeps map[uint64]bool
}

// learnEarly has libc allocate, and remembers by which stacks.
func learnEarly() {
	mark := capi.Mark()
	free := capi.HandOut()
	capi.SetEnvironment()
	for _, s := range capi.LargestStacks(capi.Filter{SinceMark: mark}, most) {
		learnt.stacks = append(learnt.stacks, s.ID)
	}
	free()
}

// learn looks at these stacks. Late, since most programs never have to name anything. The caller holds mu.
func learn() error {
	if learnt.done {
		return nil
	}
	learnt.done = true
	if len(learnt.stacks) == 0 {
		return nil // all of libc is unseen
	}
	leaks, err := named(capi.Filter{}, learnt.stacks)
	if err != nil {
		return err
	}
	learnt.handsOut, learnt.keeps = map[uint64]bool{}, map[uint64]bool{}
	for _, l := range leaks {
		inside := libcFrames(l.stack)
		if len(inside) == 0 {
			continue
		}
		entry := inside[len(inside)-1]
		switch {
		case entry.Function != "" || entry.Offset == 0:
		case hasGo("github.com/cgoheap/cgoheap/go/internal/capi.HandOut")(l.stack):
			learnt.handsOut[entry.Offset] = true
		case hasGo("github.com/cgoheap/cgoheap/go/internal/capi.SetEnvironment")(l.stack):
			learnt.keeps[entry.Offset] = true
		}
	}
	return nil
}

// libcFrames returns the innermost frames that are libc's.
func libcFrames(stack []profiledata.Frame) []profiledata.Frame {
	for i, f := range stack {
		if !inLibc(f) {
			return stack[:i]
		}
	}
	return stack
}

// depth counts calls: frames without those inlined into others.
func depth(stack []profiledata.Frame) int {
	n := 0
	for _, f := range stack {
		if !f.Inlined {
			n++
		}
	}
	return n
}

// What libc's functions hand out: all that is allocated below them, or what they allocate themselves, while the rest is cached.
const (
	all    = 1
	direct = 2
)

// handsOut lists the functions after which the caller has something to give back, by free or by a function of libc.
var handsOut = func() map[string]int {
	list := map[string]int{}
	for _, name := range strings.Fields(`
		strdup strndup wcsdup asprintf vasprintf
		scanf fscanf sscanf vscanf vfscanf vsscanf wscanf fwscanf swscanf vwscanf vfwscanf vswscanf
		getline getdelim realpath canonicalize_file_name getcwd get_current_dir_name tempnam
		fdopen fmemopen fopencookie open_memstream open_wmemstream popen fclose
		opendir fdopendir scandir scandirat fts_open fts_read fts_children glob wordexp
		regcomp regexec re_compile_pattern re_compile_fastmap re_search re_search_2 re_match re_match_2
		catopen iconv_open getifaddrs if_nameindex backtrace_symbols hcreate hcreate_r tsearch
		argz_add argz_add_sep argz_append argz_create argz_create_sep argz_insert argz_replace envz_add envz_merge
		posix_spawn_file_actions_addopen posix_spawn_file_actions_addclose posix_spawn_file_actions_adddup2
		posix_spawn_file_actions_addchdir_np posix_spawn_file_actions_addfchdir_np posix_spawn_file_actions_addclosefrom_np
		posix_spawn_file_actions_addtcsetpgrp_np
		pthread_attr_setaffinity_np pthread_attr_setsigmask_np pthread_getattr_np sched_cpualloc
		sem_open timer_create malloc_get_state ruserpass`) {
		list[name] = all
	}
	// The conversions of a stream with ",ccs=" and the data of a locale stay when it is closed or freed.
	for _, name := range strings.Fields("fopen freopen tmpfile setmntent newlocale duplocale") {
		list[name] = direct
	}
	list["setmntent"], list["tmpfile"] = all, all // by fopen
	return list
}()

type rule struct {
	what    string
	matches func(stack []profiledata.Frame) bool
}

var rules = []rule{
	// Go code that runs before main is before any test. The baseline can't be drawn at the end of all packages'
	// initialisation, since the package may be initialised before others. (A plugin's initialisation counts too.)
	{"package initialisation", hasGo("runtime.doInit", "runtime.doInit1")},

	// The runtime calls C on a system stack, without any goroutine, to start threads. Threads stay for other goroutines.
	{"the Go runtime", endsInRuntime},

	// os.Setenv and t.Setenv pass the variable on to C. libc can't free old values: a getenv may still point there.
	{"the environment", hasGo("runtime.setenv_c", "runtime.unsetenv_c")},
	{"the environment", hasLibc("setenv", "putenv", "unsetenv", "clearenv", "add_to_environ")},

	// The dynamic loader's own: thread-local storage of threads and libraries, which is cached with the threads' stacks;
	// lists of loaded objects; and what libraries allocate while being loaded, in constructors that the loader calls
	// (libstdc++ keeps 72 KiB for exceptions). Hides a dlopen without dlclose.
	{"the dynamic loader", inLoader},
	{"the dynamic loader", hasLibc("dlopen", "dlmopen", "dlsym", "dlvsym", "dlclose", "dlerror", "dlerror_run")},

	// A thread's descriptor and storage: kept for the next thread when it ends, and joined or not it isn't malloc's.
	{"threads", hasLibc("pthread_create", "pthread_create_2_1")},
	// Freed when the thread ends; threads of the Go runtime hardly ever do.
	{"thread-local values", hasLibc("pthread_setspecific", "tss_set", "cxa_thread_atexit_impl")},

	// The buffer of a stream comes with the first use, below whatever function uses it. Those of stdin, stdout and stderr
	// stay. A stream that is never closed is found all the same, by the stream itself.
	{"buffers of stdio", hasLibc("IO_file_doallocate", "IO_wfile_doallocate", "IO_default_doallocate", "IO_doallocbuf", "IO_wdoallocbuf")},

	// Conversions, with what their modules, libraries of their own, allocate. The descriptor that iconv_open returns is
	// allocated in gconv_open itself.
	{"character sets", under("gconv_open")},
	{"character sets", hasLibc("gconv_find_shlib", "gconv_lookup_cache", "gconv_find_transform", "wcsmbs_load_conv")},

	// Name services keep their configuration, modules and, for functions that return static memory, one buffer each.
	// Hides a getaddrinfo without freeaddrinfo: without symbols its result and its caches look the same.
	{"name services", hasLibc("getaddrinfo", "getnameinfo", "nss_database_get", "resolv_context_get", "res_ninit", "res_init",
		"gethostbyname", "gethostbyname2", "gethostbyaddr", "gethostent", "getnetbyname", "getnetbyaddr", "getnetent",
		"getservbyname", "getservbyport", "getservent", "getprotobyname", "getprotobynumber", "getprotoent",
		"getpwnam", "getpwuid", "getpwent", "getgrnam", "getgrgid", "getgrent", "getspnam", "getspent",
		"getpwnam_r", "getpwuid_r", "getgrnam_r", "getgrgid_r", "gethostbyname_r", "gethostbyname2_r", "gethostbyaddr_r",
		"getservbyname_r", "getservbyport_r", "getprotobyname_r", "getgrouplist", "initgroups", "res_context_send")},

	// Functions to be called at exit are kept until then.
	{"functions called at exit", hasLibc("cxa_atexit", "cxa_at_quick_exit", "on_exit", "internal_atexit", "new_exitfn")},
}

// exitListBytes is the size of glibc's list of 32 functions to be called at exit, of which it allocates one after the other.
const exitListBytes = 16 + 32*32

// isExitList knows such a list by its size where libc has no symbols: atexit and __cxa_atexit jump to a function without
// a name, and each object of static storage in C++ calls one of them.
func isExitList(l *leak) bool {
	if l.bytes != l.blocks*exitListBytes || len(l.stack) < 2 {
		return false
	}
	for _, f := range l.stack[:2] {
		if !inLibc(f) || f.Function != "" {
			return false
		}
	}
	return true
}

// cutByRuntime is the frame that ends a stack of C code called by the Go runtime on a system stack.
const cutByRuntime = "[stack cut: called by the Go runtime on a system stack]"

func endsInRuntime(stack []profiledata.Frame) bool {
	return len(stack) > 0 && stack[len(stack)-1].Function == cutByRuntime
}

func inLoader(stack []profiledata.Frame) bool {
	for _, f := range stack {
		if base := filepath.Base(f.Object); strings.HasPrefix(base, "ld-linux") || strings.HasPrefix(base, "ld-2") {
			return true
		}
	}
	return false
}

// hasGo matches stacks with one of the Go functions.
func hasGo(names ...string) func([]profiledata.Frame) bool {
	set := setOf(names)
	return func(stack []profiledata.Frame) bool {
		for _, f := range stack {
			if set[f.Function] {
				return true
			}
		}
		return false
	}
}

// hasLibc matches stacks with one of the functions in libc.
func hasLibc(names ...string) func([]profiledata.Frame) bool {
	set := setOf(names)
	return func(stack []profiledata.Frame) bool {
		for _, f := range stack {
			if inLibc(f) && set[plainName(f.Function)] {
				return true
			}
		}
		return false
	}
}

// under matches stacks with the function of libc somewhere above the leaf.
func under(name string) func([]profiledata.Frame) bool {
	return func(stack []profiledata.Frame) bool {
		for i, f := range stack {
			if i > 0 && inLibc(f) && plainName(f.Function) == name {
				return true
			}
		}
		return false
	}
}

func setOf(names []string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, name := range names {
		set[name] = true
	}
	return set
}

// inLibc says whether the frame lies in glibc; until 2.33 it was several libraries, and some are apart still.
func inLibc(f profiledata.Frame) bool {
	base := filepath.Base(f.Object)
	for _, name := range []string{"libc", "libpthread", "libdl", "libresolv", "librt", "libanl", "libutil"} {
		if strings.HasPrefix(base, name+".so") || strings.HasPrefix(base, name+"-2") {
			return true
		}
	}
	return false
}

// exportedName is the name under which the program knows the function: __fopen_internal is fopen, _IO_new_popen popen,
// __isoc99_sscanf and __isoc23_sscanf are sscanf, __scandir64_tail is scandir, ___asprintf_chk asprintf.
func exportedName(function string) string {
	name := plainName(function)
	for _, prefix := range []string{"isoc99_", "isoc23_", "IO_", "new_", "old_"} {
		name = strings.TrimPrefix(name, prefix)
	}
	for _, suffix := range []string{"_chk", "_internal", "_tail", "64"} {
		name = strings.TrimSuffix(name, suffix)
	}
	return name
}

// plainName takes off what glibc puts in front of its internal names.
func plainName(function string) string {
	return strings.TrimLeft(strings.TrimPrefix(function, "__GI_"), "_")
}
