package cgoheaptest

import (
	"path/filepath"
	"strings"

	"github.com/cgoheap/cgoheap/go/internal/profiledata"
)

// What is live and yet no leak of a test, through no option of the user's: memory that libc, the dynamic loader and the Go
// runtime keep on purpose. Most of it comes into sight with the whole-process door only.
//
// Each rule names what keeps the block and why it is not the test's to free. Where a rule can hide a leak, it says so.
//
// Debian's libc has no symbols of its internal functions, so rules about libc go by the functions that it exports; with
// debug symbols installed the same names carry prefixes (__GI_setlocale, __pthread_create_2_1), which plainName takes off.

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
	return ""
}

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
	{"thread-local messages", hasLibc("strerror", "strerror_l", "strsignal")},

	// The buffer of a stream. Those of stdout and stderr come with the first use and stay. A stream that is never closed
	// is found all the same, by the stream itself.
	{"buffers of stdio", hasLibc("IO_file_doallocate", "IO_wfile_doallocate", "IO_default_doallocate")},

	// Read once and kept.
	{"locales", hasLibc("setlocale", "nl_find_locale", "nl_load_locale", "nl_locale_load", "bindtextdomain", "textdomain",
		"bind_textdomain_codeset", "dcgettext", "dcngettext", "dcigettext")},
	{"character sets", under("gconv_open")}, // the descriptor that iconv_open returns is allocated in gconv_open itself
	{"time zones", hasLibc("tzset", "tzset_internal", "tz_convert", "localtime", "localtime_r", "mktime", "timelocal", "strftime",
		"strftime_l", "tzfile_read")},

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

// inLibc says whether the frame lies in glibc; until 2.33 threads and dlopen were libraries of their own.
func inLibc(f profiledata.Frame) bool {
	base := filepath.Base(f.Object)
	for _, name := range []string{"libc", "libpthread", "libdl", "libresolv"} {
		if strings.HasPrefix(base, name+".so") || strings.HasPrefix(base, name+"-2") {
			return true
		}
	}
	return false
}

// plainName takes off what glibc puts in front of its internal names.
func plainName(function string) string {
	return strings.TrimLeft(strings.TrimPrefix(function, "__GI_"), "_")
}
