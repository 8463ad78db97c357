// Package register serves all of package look on [http.DefaultServeMux], and publishes the variable cgoheap of package
// [expvar], when it is imported:
//
//	import _ "github.com/cgoheap/cgoheap/go/look/register"
//
// Importing it registers /debug/cgoheap/, /debug/pprof/delta_cgoheap, /debug/pprof/allheap, and by expvar /debug/vars,
// and starts the goroutine that keeps the history. net/http/pprof, for the other profiles, is yours to import.
package register

import (
	"expvar"
	"net/http"

	"github.com/cgoheap/cgoheap/go/look"
)

func init() {
	look.Register(http.DefaultServeMux)
	expvar.Publish("cgoheap", expvar.Func(look.Vars))
}
