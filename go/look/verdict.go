package look

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	cgoheap "github.com/cgoheap/cgoheap/go"
	"github.com/cgoheap/cgoheap/go/internal/capi"
	"github.com/cgoheap/cgoheap/go/internal/memory"
	"github.com/cgoheap/cgoheap/go/internal/serving"
	"github.com/cgoheap/cgoheap/go/internal/verdict"
)

// The verdict for machines. docs/monitoring.md documents the schema: a field's name and meaning stay as long as verdictSchema does, fields
// may come, and the words of kind, confidence and part are those of packages verdict and memory. Sentences may change at any time.
const verdictSchema = 1

// verdictReport is verdict.json. All sizes are bytes, all times RFC 3339 in UTC.
type verdictReport struct {
	Schema  int       `json:"schema"`
	Time    time.Time `json:"time"`
	Program string    `json:"program"`
	PID     int       `json:"pid"`

	Kind       string   `json:"kind"`
	Confidence string   `json:"confidence"`
	Sentence   string   `json:"sentence"`
	Call       string   `json:"call,omitempty"` // that the bytes are from, in a sentence
	Evidence   []string `json:"evidence"`
	Unseen     []string `json:"unseen"` // what can't be seen, and bears on the verdict
	Next       string   `json:"next"`
	Problems   []string `json:"problems"` // of cgoheap itself

	Growth *verdictGrowth `json:"growth,omitempty"` // nil where the verdict is not on growth

	Moments       int           `json:"moments"` // measured before this one
	ResidentBytes uint64        `json:"resident_bytes"`
	Parts         []verdictPart `json:"parts"` // they add up to resident_bytes

	LiveBytes       uint64 `json:"live_bytes"`
	LiveMarginBytes uint64 `json:"live_margin_bytes"`
	IntervalBytes   int    `json:"sampling_interval_bytes"`

	GrowingSince *time.Time     `json:"growing_since,omitempty"`
	Growing      []verdictStack `json:"growing"`
	Largest      []verdictStack `json:"largest"`
}

// verdictGrowth is what grew, and in which time.
type verdictGrowth struct {
	Part    string    `json:"part"`
	Bytes   int64     `json:"bytes"`
	Begin   time.Time `json:"begin"`
	Seconds float64   `json:"seconds"`
}

type verdictPart struct {
	Part  string `json:"part"`
	Bytes uint64 `json:"bytes"`
}

// verdictStack is a C stack with what it holds.
type verdictStack struct {
	ID          uint32   `json:"id"` // for stack?id=, as long as the process lives
	InUseBytes  int64    `json:"inuse_bytes"`
	InUseBlocks int64    `json:"inuse_objects"`
	GrowthBytes int64    `json:"growth_bytes"` // since growing_since
	OldBytes    int64    `json:"old_bytes"`    // that outlived ?age=
	Frames      []string `json:"frames"`       // leaf first
}

// reportedStacks bounds the stacks of each list.
const reportedStacks = 5

// newVerdictReport measures and applies the rules, as the page does.
func newVerdictReport(asked *request) (*verdictReport, error) {
	e, err := evaluate(asked.since, asked.age)
	if err != nil {
		return nil, err
	}
	now, stats := e.Now, &e.Now.Stats
	v := &verdictReport{
		Schema: verdictSchema, Time: now.Time.UTC(), Program: filepath.Base(os.Args[0]), PID: os.Getpid(),
		Kind: string(e.Kind), Confidence: e.Sure, Sentence: e.Sentence, Call: e.Call, Next: e.Next,
		// Empty lists rather than null, which is no list to many readers.
		Evidence: append([]string{}, e.Evidence...), Unseen: append([]string{}, e.Blind...), Problems: append([]string{}, problems(stats)...),
		Moments: len(e.Recent) - 1, ResidentBytes: now.RSS, Parts: []verdictPart{},
		LiveBytes: stats.LiveBytes, LiveMarginBytes: stats.LiveBytesMargin, IntervalBytes: stats.Rate,
		Growing: reported(e.Stacks.Growing), Largest: reported(e.Stacks.Largest),
	}
	if e.StacksError != nil {
		v.Problems = append(v.Problems, e.StacksError.Error())
	}
	if e.Growth > 0 && int(e.Part) < len(memory.Parts) {
		v.Growth = &verdictGrowth{Part: memory.Parts[e.Part].Key, Bytes: e.Growth, Begin: e.Begin.UTC(), Seconds: e.Window.Seconds()}
		if e.Begin.IsZero() {
			v.Growth.Begin = v.Time
		}
	}
	for p, info := range memory.Parts {
		v.Parts = append(v.Parts, verdictPart{info.Key, now.Resident[p]})
	}
	if len(v.Growing) > 0 && !e.Since.IsZero() {
		since := e.Since.UTC()
		v.GrowingSince = &since
	}
	return v, nil
}

func reported(rows []stackRow) []verdictStack {
	out := []verdictStack{}
	for i := range rows[:min(len(rows), reportedStacks)] {
		r := &rows[i]
		out = append(out, verdictStack{r.ID, r.InUse, r.Objects, r.Growth, r.Old, append([]string{}, r.Frames...)})
	}
	return out
}

func (v *verdictReport) json() ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false) // C++ names are full of < and >
	e.SetIndent("", "  ")
	err := e.Encode(v)
	return out.Bytes(), err
}

// markdown is the verdict to be put into a ticket or a chat.
func (v *verdictReport) markdown() ([]byte, error) {
	var out bytes.Buffer
	paragraph := func(format string, args ...any) { fmt.Fprintf(&out, format+"\n\n", args...) }
	list := func(title string, lines []string) {
		if len(lines) == 0 {
			return
		}
		paragraph("## %s", title)
		for _, l := range lines {
			fmt.Fprintf(&out, "- %s\n", markdownText(l))
		}
		out.WriteByte('\n')
	}
	stacks := func(title string, stacks []verdictStack, value func(*verdictStack) int64) {
		if len(stacks) == 0 {
			return
		}
		paragraph("## %s", title)
		for i := range stacks {
			paragraph("%s:", size(value(&stacks[i])))
			for _, f := range stacks[i].Frames {
				fmt.Fprintf(&out, "    %s\n", plainText(f)) // code by its indentation: no name can end it
			}
			out.WriteByte('\n')
		}
	}
	paragraph("# Memory of %s, process %d", markdownText(v.Program), v.PID)
	paragraph("**%s**", markdownText(v.Sentence))
	if v.Call != "" {
		paragraph("%s", markdownText(v.Call))
	}
	paragraph("%s", markdownText(v.Next))
	paragraph("`%s`, %s; %s", v.Kind, v.Confidence, v.Time.Format(time.RFC3339))
	list("Evidence", v.Evidence)
	list("Not seen", append(append([]string{}, v.Unseen...), v.Problems...))
	paragraph("## RSS: %s", size(v.ResidentBytes))
	out.WriteString("| part | size |\n|---|---:|\n")
	for p, info := range memory.Parts {
		if b := v.Parts[p].Bytes; b > 0 {
			fmt.Fprintf(&out, "| %s | %s |\n", markdownText(info.Title), size(b))
		}
	}
	out.WriteByte('\n')
	paragraph("C live, as asked for: %s ± %s", size(v.LiveBytes), size(v.LiveMarginBytes))
	stacks("C stacks that grew most", v.Growing, func(s *verdictStack) int64 { return s.GrowthBytes })
	stacks("C stacks that hold most", v.Largest, func(s *verdictStack) int64 { return s.InUseBytes })
	return append(bytes.TrimRight(out.Bytes(), "\n"), '\n'), nil
}

// plainText is a name on one line.
func plainText(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}

var markdownSigns = strings.NewReplacer(`\`, `\\`, "`", "\\`", "*", `\*`, "<", `\<`, "[", `\[`, "|", `\|`)

// markdownText takes away the meaning that signs have in Markdown.
func markdownText(s string) string { return markdownSigns.Replace(plainText(s)) }

// serveVerdict serves the verdict, encoded by encode.
func serveVerdict(contentType string, encode func(*verdictReport) ([]byte, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		query := serving.Query(w, r, "since", "age")
		if query == nil {
			return
		}
		var asked request
		if err := asked.read(query); err != nil {
			serving.Error(w, http.StatusBadRequest, err.Error())
			return
		}
		if !capi.Supported {
			serving.Error(w, http.StatusNotImplemented, cgoheap.ErrUnsupported.Error())
			return
		}
		var data []byte
		if r.Method != http.MethodHead {
			leave := serving.Enter(w, r, pageGate)
			if leave == nil {
				return
			}
			defer leave()
			v, err := newVerdictReport(&asked)
			if err == nil {
				data, err = encode(v)
			}
			if err != nil {
				serving.Error(w, http.StatusInternalServerError, err.Error())
				return
			}
			leave()
		}
		w.Header().Set("Content-Type", contentType)
		serving.Send(w, r, began, data)
	}
}

// verdictOf applies the rules to the history alone: it measures nothing and never collects garbage, so that a scraper may ask often.
func verdictOf(recent, life []moment, s *cgoheap.Stats) verdict.Verdict {
	now := recent[len(recent)-1]
	if len(life) == 0 || life[len(life)-1].Time.Before(now.Time) {
		life = append(slices.Clip(life), now)
	}
	return verdict.Evaluate(recent, life, server.actions.known(s))
}
