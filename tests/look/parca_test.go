package look_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"
)

// A real Parca, which scrapes both endpoints and is then asked for what it has stored. scripts/test-look.sh sets
// CGOHEAP_PARCA to the program when it is asked for.
func TestParcaReturnsTheCFrames(t *testing.T) {
	parca := os.Getenv("CGOHEAP_PARCA")
	if parca == "" {
		t.Skip("CGOHEAP_PARCA isn't set: CGOHEAP_PARCA=1 scripts/test-look.sh builds Parca and sets it")
	}
	target := strings.TrimPrefix(start(t, "zstd"), "http://")
	folder := t.TempDir()
	// The jobs of the runbook's recipe, only faster.
	config := `
object_storage: {bucket: {type: FILESYSTEM, config: {directory: ./data}}}
scrape_configs:
  - job_name: shop
    scrape_interval: 1s
    scrape_timeout: 5s
    static_configs: [{targets: ["` + target + `"]}]
    profiling_config:
      pprof_config:
        memory: {enabled: false}
        block: {enabled: false}
        goroutine: {enabled: false}
        mutex: {enabled: false}
        process_cpu: {enabled: false}
        cgoheap: {enabled: true, path: /debug/pprof/cgoheap}
        cgoheap_allocs: {enabled: true, path: "/debug/pprof/delta_cgoheap"}
`
	if err := os.WriteFile(filepath.Join(folder, "parca.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	// Nothing leaves the machine: no debuginfod.
	command := exec.Command(parca, "--config-path=parca.yaml", "--http-address="+address, "--storage-path=data",
		"--debuginfod-upstream-servers=", "--debuginfo-cache-dir="+folder)
	command.Dir = folder
	said, err := os.Create(filepath.Join(folder, "log"))
	if err != nil {
		t.Fatal(err)
	}
	command.Stdout, command.Stderr = said, said
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		command.Process.Kill()
		command.Wait()
		if t.Failed() {
			text, _ := os.ReadFile(said.Name())
			t.Logf("%s", text)
		}
	})

	// The leak's stack in what Parca answers, as a profile again.
	ask := func(query string) (value int64, stack []string, err error) {
		answer, err := http.Get("http://" + address + "/api/profiles/query?" + url.Values{
			"mode": {"MODE_MERGE"}, "report_type": {"REPORT_TYPE_PPROF"}, "merge.query": {query + `{job="shop"}`},
			"merge.start": {time.Now().Add(-10 * time.Minute).UTC().Format(time.RFC3339)},
			"merge.end":   {time.Now().Add(time.Minute).UTC().Format(time.RFC3339)},
		}.Encode())
		if err != nil {
			return 0, nil, err
		}
		defer answer.Body.Close()
		data, _ := io.ReadAll(answer.Body)
		var body struct {
			Pprof []byte
		}
		if err := json.Unmarshal(data, &body); err != nil || len(body.Pprof) == 0 {
			return 0, nil, fmt.Errorf("%s: %v %.300s", answer.Status, err, data)
		}
		p, err := profile.ParseData(body.Pprof)
		if err != nil {
			return 0, nil, err
		}
		for _, s := range p.Sample {
			if n := names(s); s.Value[0] > value && slices.Contains(n, "ZSTD_customMalloc") {
				value, stack = s.Value[0], n
			}
		}
		if value == 0 {
			return 0, nil, fmt.Errorf("no ZSTD_customMalloc in %d samples", len(p.Sample))
		}
		return value, stack, nil
	}
	for _, query := range []string{"cgoheap:inuse_space:bytes:space:bytes", "cgoheap_allocs:alloc_space:bytes:space:bytes:delta"} {
		var value int64
		var stack []string
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(500 * time.Millisecond) {
			if value, stack, err = ask(query); err == nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %v", query, err)
			}
		}
		if value < 1<<20 || !slices.Contains(stack, "main.compress") || !slices.Contains(stack, "C.ZSTD_compressStream2_wrapper") {
			t.Errorf("%s: %d from %q", query, value, stack)
		}
	}
	// Every delta has a duration, the first too, or Parca would take them for two kinds of profile.
	answer := string(get(t, "http://"+address+"/api/profiles/types"))
	var types struct {
		Types []struct {
			Name  string
			Delta bool
		}
	}
	if err := json.Unmarshal([]byte(answer), &types); err != nil || len(types.Types) != 8 {
		t.Errorf("%v, want four sample types of each:\n%s", err, answer)
	}
	for _, kind := range types.Types {
		if kind.Delta != (kind.Name == "cgoheap_allocs") {
			t.Errorf("%s: delta is %v", kind.Name, kind.Delta)
		}
	}
}
