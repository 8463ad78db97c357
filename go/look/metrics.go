package look

import (
	"bytes"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"time"
	"unicode"

	cgoheap "github.com/cgoheap/cgoheap/go"
	"github.com/cgoheap/cgoheap/go/internal/memory"
	"github.com/cgoheap/cgoheap/go/internal/serving"
)

// serveMetrics serves the numbers in the text format of Prometheus.
func serveMetrics(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	var data []byte
	if r.Method != http.MethodHead {
		leave := serving.Enter(w, r, metricsGate)
		if leave == nil {
			return
		}
		data = prometheus()
		leave()
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	serving.Send(w, r, began, data)
}

// prometheus writes the text format: https://prometheus.io/docs/instrumenting/exposition_formats/
func prometheus() []byte {
	var out bytes.Buffer
	metric := func(kind, name, help string) {
		fmt.Fprintf(&out, "# HELP cgoheap_%s %s\n# TYPE cgoheap_%s %s\n", name, help, name, kind)
	}
	value := func(kind, name, help string, v uint64) {
		metric(kind, name, help)
		fmt.Fprintf(&out, "cgoheap_%s %d\n", name, v)
	}
	var s cgoheap.Stats
	cgoheap.ReadStats(&s)
	value("gauge", "live_bytes", "C memory allocated and not freed, as asked for (estimate).", s.LiveBytes)
	value("gauge", "live_margin_bytes", "cgoheap_live_bytes +- this holds the truth 95 times in 100.", s.LiveBytesMargin)
	value("gauge", "peak_live_bytes", "The highest cgoheap_live_bytes so far (estimate).", s.PeakBytes)
	value("gauge", "live_objects", "C blocks allocated and not freed (estimate).", s.LiveObjects)
	value("counter", "allocated_bytes_total", "C memory allocated since the start (estimate).", s.AllocBytes)
	value("counter", "allocated_objects_total", "C blocks allocated since the start (estimate).", s.AllocObjects)
	value("counter", "freed_bytes_total", "C memory freed since the start (estimate).", less(s.AllocBytes, s.LiveBytes))
	value("counter", "samples_total", "Allocations sampled since the start.", s.Samples)
	value("gauge", "sampling_interval_bytes", "Mean bytes between samples; 0 is off.", uint64(s.Rate))
	value("gauge", "own_bytes", "Memory mapped for the tables of cgoheap itself.", s.OwnBytes)
	metric("counter", "lost_total", "What was dropped, cut short or mended, by reason.")
	for reason, n := range lost(&s) {
		fmt.Fprintf(&out, "cgoheap_lost_total{reason=%q} %d\n", reason, n)
	}
	if used, free, mmapped, known := memory.ReadMalloc(); known {
		value("gauge", "malloc_used_bytes", "C memory that malloc has handed out, by mallinfo2.", used)
		value("gauge", "malloc_free_bytes", "C memory that was freed and malloc keeps, by mallinfo2.", free)
		value("gauge", "malloc_mmapped_bytes", "The part of cgoheap_malloc_used_bytes that has mappings of its own.", mmapped)
	}

	recent, life := server.history.Moments()
	if len(recent) > 0 {
		now := recent[len(recent)-1]
		value("gauge", "resident_memory_bytes", "RSS of the process.", now.RSS)
		metric("gauge", "resident_part_bytes", "RSS broken down; the parts add up to cgoheap_resident_memory_bytes.")
		for p, info := range memory.Parts {
			fmt.Fprintf(&out, "cgoheap_resident_part_bytes{part=%q} %d\n", info.Key, now.Resident[p])
		}
		v := verdictOf(recent, life, &s)
		metric("gauge", "verdict_info", "What the page says, by the rules for what was measured so far; the value is 1.")
		fmt.Fprintf(&out, "cgoheap_verdict_info{kind=%q,confidence=%q} 1\n", v.Kind, v.Sure)
	}
	return out.Bytes()
}

// Vars returns the numbers for package expvar: expvar.Publish("cgoheap", expvar.Func(look.Vars)), which the package
// github.com/cgoheap/cgoheap/go/look/register does.
func Vars() any {
	var s cgoheap.Stats
	cgoheap.ReadStats(&s)
	lostByReason := map[string]uint64{}
	for reason, n := range lost(&s) {
		lostByReason[reason] = n
	}
	vars := map[string]any{
		"live_bytes": s.LiveBytes, "live_bytes_margin": s.LiveBytesMargin, "live_objects": s.LiveObjects, "peak_live_bytes": s.PeakBytes,
		"allocated_bytes": s.AllocBytes, "allocated_objects": s.AllocObjects, "freed_bytes": less(s.AllocBytes, s.LiveBytes),
		"samples": s.Samples, "sampling_interval_bytes": s.Rate, "own_bytes": s.OwnBytes, "lost": lostByReason,
	}
	if used, free, _, known := memory.ReadMalloc(); known {
		vars["malloc_used_bytes"], vars["malloc_free_bytes"] = used, free
	}
	return vars
}

func less(a, b uint64) uint64 { return a - min(a, b) }

// lost yields the counters of losses, named as the fields of [cgoheap.Stats], in their order.
func lost(s *cgoheap.Stats) func(yield func(string, uint64) bool) {
	return func(yield func(string, uint64) bool) {
		v := reflect.ValueOf(s.Lost)
		for i := range v.NumField() {
			if !yield(snake(v.Type().Field(i).Name), v.Field(i).Uint()) {
				return
			}
		}
	}
}

func snake(name string) string {
	var out strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 {
			out.WriteByte('_')
		}
		out.WriteRune(unicode.ToLower(r))
	}
	return out.String()
}
