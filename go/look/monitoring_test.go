package look

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	cgoheap "github.com/cgoheap/cgoheap/go"
	"github.com/cgoheap/cgoheap/go/internal/capi"
	"github.com/cgoheap/cgoheap/go/internal/memory"
	"github.com/cgoheap/cgoheap/go/internal/verdict"
)

var (
	everyKind = []verdict.Kind{verdict.TooEarly, verdict.Fine, verdict.Leak, verdict.Unseen, verdict.Finalizers, verdict.Retention,
		verdict.GoHeap, verdict.GoStacks, verdict.Threads, verdict.Mapped, verdict.Own}
	everyConfidence = []string{verdict.Certain, verdict.Likely, verdict.Possible}
)

// promtool runs Prometheus' own tool; the test is skipped where there is none.
func promtool(t *testing.T, input []byte, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is missing (Debian's package prometheus)")
	}
	cmd := exec.Command(path, args...)
	cmd.Stdin = bytes.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	} else if len(input) > 0 && len(out) > 0 { // check metrics only warns of some
		t.Errorf("promtool %s: %s", strings.Join(args, " "), out)
	}
}

// scraped is what a scraper gets once there is a measurement.
func scraped(t *testing.T) []byte {
	t.Helper()
	if !capi.Supported {
		t.Skip("serves nothing here")
	}
	server.history.Take()
	return prometheus()
}

func document(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestMetricsPassPromtool(t *testing.T) {
	promtool(t, scraped(t), "check", "metrics")
}

func TestAlertsPassPromtool(t *testing.T) {
	promtool(t, nil, "check", "rules", "../../docs/monitoring/alerts.yml")
	promtool(t, nil, "test", "rules", "../../docs/monitoring/alerts_test.yml")
}

// labels are the values that each label of each metric may have; a metric without labels has none.
func labels(t *testing.T) map[string]map[string][]string {
	t.Helper()
	out := map[string]map[string][]string{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\w+) `).FindAllStringSubmatch(string(scraped(t)), -1) {
		out[m[1]] = map[string][]string{}
	}
	if _, _, _, known := memory.ReadMalloc(); !known { // an old C library's malloc doesn't tell, so these aren't served here
		for _, m := range regexp.MustCompile("(?m)^\\| `(cgoheap_malloc_\\w+)` \\|").FindAllStringSubmatch(document(t, "monitoring.md"), -1) {
			out[m[1]] = map[string][]string{}
		}
	}
	var s cgoheap.Stats
	for reason := range lost(&s) {
		out["cgoheap_lost_total"]["reason"] = append(out["cgoheap_lost_total"]["reason"], reason)
	}
	for _, p := range memory.Parts {
		out["cgoheap_resident_part_bytes"]["part"] = append(out["cgoheap_resident_part_bytes"]["part"], p.Key)
	}
	for _, k := range everyKind {
		out["cgoheap_verdict_info"]["kind"] = append(out["cgoheap_verdict_info"]["kind"], string(k))
	}
	out["cgoheap_verdict_info"]["confidence"] = everyConfidence
	return out
}

var (
	selector = regexp.MustCompile(`\b(cgoheap_\w+)(\{[^}]*\})?`)
	matcher  = regexp.MustCompile(`(\w+)=(~?)"([^"]*)"`)
)

// checkQuery checks that what a query names exists.
func checkQuery(known map[string]map[string][]string, query string) error {
	found := selector.FindAllStringSubmatch(query, -1)
	if len(found) == 0 {
		return fmt.Errorf("it names no metric of ours")
	}
	for _, m := range found {
		values, exists := known[m[1]]
		if !exists {
			return fmt.Errorf("there is no metric %s", m[1])
		}
		for _, l := range matcher.FindAllStringSubmatch(m[2], -1) {
			if l[1] == "job" || l[1] == "instance" { // Prometheus' own
				continue
			}
			words := []string{l[3]}
			if l[2] == "~" {
				words = strings.Split(l[3], "|")
			}
			for _, w := range words {
				if !slices.Contains(values[l[1]], w) {
					return fmt.Errorf("%s has no %s=%q", m[1], l[1], w)
				}
			}
		}
	}
	return nil
}

func TestQueriesThatNameNothingAreSeen(t *testing.T) {
	known := labels(t)
	for query, good := range map[string]bool{
		`rate(cgoheap_lost_total{job="x",reason=~"samples_no_memory|frees_unseen"}[5m])`: true,
		`cgoheap_verdict_info{kind="c-leak"} == 1`:                                       true,
		`cgoheap_verdict_info{kind="leak"} == 1`:                                         false,
		`cgoheap_lost_total{reason=~"samples_no_memory|other"}`:                          false,
		`cgoheap_live_bytes{part="c_live"}`:                                              false,
		`cgoheap_dead_bytes`:                                                             false,
		`up`:                                                                             false,
	} {
		if err := checkQuery(known, query); (err == nil) != good {
			t.Errorf("%s: %v", query, err)
		}
	}
}

func TestAlertsNameWhatExists(t *testing.T) {
	known := labels(t)
	rules := document(t, "monitoring/alerts.yml")
	expressions := regexp.MustCompile(`(?m)^ +expr: (?:>-\n((?: {10}.*\n)+)|(.*)\n)`).FindAllStringSubmatch(rules, -1)
	if n := strings.Count(rules, "expr:"); len(expressions) != n || n == 0 {
		t.Fatalf("%d of %d expressions were found", len(expressions), n)
	}
	for _, e := range expressions {
		if err := checkQuery(known, e[1]+e[2]); err != nil {
			t.Errorf("%s: %v", e[1]+e[2], err)
		}
	}
	doc, tests := document(t, "monitoring.md"), document(t, "monitoring/alerts_test.yml")
	for _, m := range regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(rules, -1) {
		if !strings.Contains(doc, "| `"+m[1]+"` |") || !strings.Contains(tests, "alertname: "+m[1]+"\n") {
			t.Errorf("%s has no line in docs/monitoring.md, or no test in which it is raised", m[1])
		}
	}
}

// dashboard is what Grafana's model of a dashboard asks for (its kinds/dashboard/dashboard_kind.cue), as far as ours has it.
type dashboard struct {
	UID, Title    string
	SchemaVersion int
	Panels        []struct {
		ID                       int
		Type, Title, Description string
		GridPos                  struct{ X, Y, W, H int }
		Datasource               struct{ Type, UID string }
		FieldConfig              *struct {
			Defaults  struct{ Unit string }
			Overrides []any
		}
		Targets []struct {
			RefID, Expr string
			Datasource  struct{ Type, UID string }
		}
	}
	Templating struct {
		List []struct {
			Name, Type, Definition string
		}
	}
}

func TestDashboardNamesWhatExists(t *testing.T) {
	known := labels(t)
	var d dashboard
	if err := json.Unmarshal([]byte(document(t, "monitoring/dashboard.json")), &d); err != nil {
		t.Fatal(err)
	}
	if d.UID == "" || len(d.UID) > 40 || d.Title == "" || d.SchemaVersion < 36 || len(d.Panels) == 0 {
		t.Errorf("uid %q, title %q, schema %d, %d panels", d.UID, d.Title, d.SchemaVersion, len(d.Panels))
	}
	variables := map[string]bool{"__rate_interval": true}
	for _, v := range d.Templating.List {
		variables[v.Name] = true
		if v.Type == "query" {
			if err := checkQuery(known, v.Definition); err != nil {
				t.Errorf("variable %s: %v", v.Name, err)
			}
		}
	}
	var rules strings.Builder
	rules.WriteString("groups:\n  - name: dashboard\n    rules:\n")
	ids := map[int]bool{}
	covered := map[[2]int]string{}
	shown := map[string]bool{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.ID == 0 || p.Title == "" || p.Description == "" || p.FieldConfig == nil || p.FieldConfig.Overrides == nil || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 {
			t.Errorf("panel %q: %+v", p.Title, p)
		}
		ids[p.ID] = true
		if g := p.GridPos; g.X < 0 || g.W < 1 || g.X+g.W > 24 || g.H < 1 {
			t.Errorf("panel %q is outside of the 24 columns: %+v", p.Title, g)
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := covered[[2]int{x, y}]; other != "" {
					t.Fatalf("panel %q covers %q", p.Title, other)
				}
				covered[[2]int{x, y}] = p.Title
			}
		}
		refs := map[string]bool{}
		for _, q := range p.Targets {
			if refs[q.RefID] || q.RefID == "" || q.Datasource.Type != "prometheus" || q.Datasource.UID != "${datasource}" || q.Datasource != p.Datasource {
				t.Errorf("panel %q: %+v", p.Title, q)
			}
			refs[q.RefID] = true
			if err := checkQuery(known, q.Expr); err != nil {
				t.Errorf("panel %q, %s: %v", p.Title, q.Expr, err)
			}
			for _, m := range selector.FindAllStringSubmatch(q.Expr, -1) {
				shown[m[1]] = true
			}
			for _, v := range regexp.MustCompile(`\$(\w+)`).FindAllStringSubmatch(q.Expr, -1) {
				if !variables[v[1]] {
					t.Errorf("panel %q: there is no variable %s", p.Title, v[1])
				}
			}
			expr := strings.ReplaceAll(q.Expr, "$__rate_interval", "5m")
			fmt.Fprintf(&rules, "      - {record: 'panel:%d:%s', expr: '%s'}\n", p.ID, q.RefID, expr)
		}
	}
	if !shown["cgoheap_verdict_info"] || !shown["cgoheap_resident_part_bytes"] || !shown["cgoheap_live_bytes"] {
		t.Errorf("it shows %v", slices.Sorted(maps.Keys(shown)))
	}
	file := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(file, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, nil, "check", "rules", file)
}

// The table of metrics, and the words that stay, are those of the code.
func TestDocumentedWordsAreAll(t *testing.T) {
	doc := document(t, "monitoring.md")
	types := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(cgoheap_\\w+)` \\| (\\w+) \\|").FindAllStringSubmatch(doc, -1) {
		types[m[1]] = m[2]
	}
	served := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\w+) (\w+)$`).FindAllStringSubmatch(string(scraped(t)), -1) {
		served[m[1]] = m[2]
	}
	if _, _, _, known := memory.ReadMalloc(); !known {
		maps.DeleteFunc(types, func(name, _ string) bool { return strings.HasPrefix(name, "cgoheap_malloc_") })
	}
	if !maps.Equal(types, served) {
		t.Errorf("documented %v, served %v", types, served)
	}
	for _, k := range everyKind {
		if !strings.Contains(doc, "| `"+string(k)+"` |") {
			t.Errorf("docs/monitoring.md has no kind %s", k)
		}
	}
	for _, w := range everyConfidence {
		if !strings.Contains(doc, "`"+w+"`") {
			t.Errorf("docs/monitoring.md has no confidence %s", w)
		}
	}
	for _, p := range memory.Parts {
		if !strings.Contains(doc, "`"+p.Key+"`") {
			t.Errorf("docs/monitoring.md has no part %s", p.Key)
		}
	}
}

func TestVerdictForMachines(t *testing.T) {
	if !capi.Supported {
		t.Skip("serves nothing here")
	}
	w := ask(t, "GET", "/debug/cgoheap/verdict.json")
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	var fields map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &fields); err != nil {
		t.Fatal(err)
	}
	doc := document(t, "monitoring.md")
	for name := range fields {
		if !strings.Contains(doc, "`"+name+"`") {
			t.Errorf("docs/monitoring.md doesn't tell of the field %s", name)
		}
	}
	for _, list := range []string{"evidence", "unseen", "problems", "parts", "growing", "largest"} {
		if _, isList := fields[list].([]any); !isList {
			t.Errorf("%s is no list: %v", list, fields[list])
		}
	}
	if fields["schema"] != 1.0 {
		t.Errorf("schema %v", fields["schema"])
	}
	var v verdictReport
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatal(err)
	}
	sum := uint64(0)
	for _, p := range v.Parts {
		sum += p.Bytes
	}
	if sum != v.ResidentBytes || sum == 0 {
		t.Errorf("the parts add up to %d of %d", sum, v.ResidentBytes)
	}
	if !slices.Contains(everyKind, verdict.Kind(v.Kind)) || !slices.Contains(everyConfidence, v.Confidence) || v.Sentence == "" || v.Next == "" || v.PID != os.Getpid() {
		t.Errorf("%+v", v)
	}
	for _, query := range []string{"?age=x", "?since=-1", "?age=1m&age=2m"} {
		if w := ask(t, "GET", "/debug/cgoheap/verdict.json"+query); w.Code != 400 {
			t.Errorf("%s: %d", query, w.Code)
		}
	}
}

func TestVerdictAsMarkdown(t *testing.T) {
	v := &verdictReport{Program: "a|b", PID: 7, Kind: "c-leak", Confidence: "likely", Sentence: "A C leak: *much* <script>.", Call: "All of it is from `x`.", Next: "Free it.",
		Evidence: []string{"one\n# two"}, Parts: make([]verdictPart, len(memory.Parts)), ResidentBytes: 5 << 20,
		Growing: []verdictStack{{GrowthBytes: 3 << 20, InUseBytes: 4 << 20, Frames: []string{"std::vector<int>::push_back\n```", "main.main"}}}}
	v.Parts[memory.CLive].Bytes = 4 << 20
	data, err := v.markdown()
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for _, want := range []string{"# Memory of a\\|b, process 7\n", "**A C leak: \\*much\\* \\<script>.**\n", "\\`x\\`", "`c-leak`, likely;", "\n- one # two\n",
		"\n3.0 MiB:\n\n    std::vector<int>::push_back ```\n    main.main\n", "| C live, in malloc's arenas | 4.0 MiB |\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if capi.Supported {
		if w := ask(t, "GET", "/debug/cgoheap/verdict.md"); w.Code != 200 || w.Header().Get("Content-Type") != "text/markdown; charset=utf-8" || !strings.HasPrefix(w.Body.String(), "# Memory of look.test") {
			t.Errorf("%d %v\n%s", w.Code, w.Header(), w.Body)
		}
	}
}
