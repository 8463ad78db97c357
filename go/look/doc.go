// Package look answers in one look where the memory of a Go program with C in it is: Go, C, the allocator, or mappings of
// its own. It serves a page with a verdict in one sentence, RSS broken down line by line, charts, and the C stacks that
// hold most, grew most and are oldest; and what scrapers take.
//
//	mux := http.NewServeMux()
//	look.Register(mux)
//
// registers
//
//	/debug/cgoheap/                  the page; POST to gc and trim beside it
//	/debug/cgoheap/flame             flame graphs: what is in use in C, in Go and C, what is old, what was live at the highest
//	/debug/cgoheap/profile           the C profile with all that cgoheap.Handler knows: ?seconds=, ?gc=, ?min_age=, ?peak= ...
//	/debug/cgoheap/metrics           the numbers, for Prometheus
//	/debug/cgoheap/verdict.json      the verdict, its evidence and the first stacks, for machines: docs/monitoring.md has the schema
//	/debug/cgoheap/verdict.md        the same as Markdown, for a ticket
//	/debug/pprof/delta_cgoheap?id=x  for continuous profilers: what consumer x has not been told of yet
//	/debug/pprof/allheap             Go's heap profile and the C profile as one
//
// Importing this package does nothing. To have it all on [http.DefaultServeMux], as net/http/pprof does, import
// github.com/cgoheap/cgoheap/go/look/register for its effect; it publishes the variable cgoheap of package expvar too.
// As with net/http/pprof, whoever reaches the page can see the names of functions and files, and can make the program
// collect garbage: don't serve it to strangers.
//
// # What it costs
//
// The first call of [Register] or [Handler] starts one goroutine that stays: it measures every two seconds, or less often
// where that would take more than 1 % of one processor (reading /proc/self/smaps takes longer the more memory there is).
// The history takes less than 1 MiB, however long the process runs: the last 600 moments, and 400 over its whole life.
//
// glibc's mallinfo2 walks over all free blocks of an arena with its lock held, and whoever allocates there waits: 4 million free
// blocks take 90 ms. So with go/interpose it is asked only while an answer is expected to take less than 5 ms, and what malloc keeps
// is estimated by cgoheap's own counters else, as the page says then. Without go/interpose only glibc knows: it is asked so
// rarely that it takes at most 1 part in 1,000 of the time. A trim takes as long as there are free blocks to look at.
//
// A page that is open in a visible tab asks for itself again every 5 seconds, or less often where the answer takes more than a
// quarter of a second; its button Pause ends that.
//
// Where C memory may be waiting for finalizers, the page runs the garbage collector by itself when Go's heap is small, at most
// once in five minutes: see [SetAutoGC].
//
// # What it says
//
// The parts of RSS add up, and none has more than is resident; growth is measured in resident bytes. The rules of the verdicts and
// their thresholds are in go/internal/verdict/verdict.go. Functions that only pass memory on (operator new, xmalloc) are not named
// as the cause; the environment adds to them: CGOHEAP=allocators=my_alloc|Pool::get. The profile has the same list in drop_frames.
package look
