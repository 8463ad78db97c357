package look

import (
	"bytes"
	"crypto/rand"
	_ "embed"
	"fmt"
	"html/template"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	cgoheap "github.com/cgoheap/cgoheap/go"
	"github.com/cgoheap/cgoheap/go/internal/capi"
	"github.com/cgoheap/cgoheap/go/internal/memory"
	"github.com/cgoheap/cgoheap/go/internal/serving"
	"github.com/cgoheap/cgoheap/go/internal/verdict"
)

//go:embed page.html
var pageText string

// Everything that the program or the reader can name is escaped by html/template: C++ names are full of < and >.
var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"size":  size[int64],
	"short": shortCall,
	// One sign, since a line may end within the other.
	"arrows": func(s string) string { return strings.ReplaceAll(s, " -> ", " → ") },
	"args": func(rows []stackRow, which string) any {
		return struct {
			Rows  []stackRow
			Which string
		}{rows, which}
	},
}).Parse(pageText))

type page struct {
	Program, Nonce           string
	URL                      string // of the page's folder; empty: not known
	Token                    string // of the buttons; empty: they aren't served here
	Host, AddressURL         string
	AgeQuery                 string
	PID                      int
	Verdict                  verdict.Verdict
	Share                    string // of the call that a C leak is from
	Window                   string
	Moments                  int
	Problems                 []string
	Lines                    []line // the parts of RSS that are worth a row
	Small                    []line // the others
	RSS                      uint64
	RSSSize                  string
	Large                    []string
	TopCall                  string // where the verdict names none
	Top                      []stackRow
	TopGrew                  bool // they are those that grew most, else those that hold most
	GrowthWords              string
	Groups                   []group
	Last                     string
	Starts                   []startOption
	Stacks                   stackTables
	Age, Coverage, Rate, Now string
	Peak                     string
	Flames                   []flameLink
	Series                   chart
}

// line is a part of RSS.
type line struct {
	Key, Title, Note, Source, Class string
	Bytes                           uint64
	Size, Share, Width              string
}

type startOption struct {
	Value    int64
	Text     string
	Selected bool
}

// group is a colour of the chart, and the parts that it stands for.
type group struct {
	Title, Class string
	parts        []memory.Part
}

var groups = []group{
	{"Go", "go", []memory.Part{memory.GoLive, memory.GoDead, memory.GoIdle, memory.GoStacks, memory.GoRuntime}},
	{"C in use", "c", []memory.Part{memory.CLive, memory.CMmapped, memory.CMore}},
	{"C freed but kept", "freed", []memory.Part{memory.CFree}},
	{"Mappings and files of others", "mappings", []memory.Part{memory.Mapped, memory.Files}},
	{"The rest", "other", []memory.Part{memory.ThreadStacks, memory.Code, memory.Own, memory.Unexplained}},
}

func classOf(p memory.Part) string {
	for _, g := range groups {
		for _, member := range g.parts {
			if member == p {
				return g.Class
			}
		}
	}
	return "other"
}

// chart is what the page's script draws.
type chart struct {
	Titles, Classes []string
	Recent, Life    series
}

type series struct {
	Time   []int64 // milliseconds
	Groups [][]uint64
	Live   []uint64
}

func newSeries(moments []moment) series {
	s := series{Time: []int64{}, Groups: make([][]uint64, len(groups)), Live: []uint64{}}
	for i := range s.Groups {
		s.Groups[i] = []uint64{}
	}
	for i := range moments {
		m := &moments[i]
		s.Time = append(s.Time, m.Time.UnixMilli())
		s.Live = append(s.Live, m.CLive)
		for j, g := range groups {
			sum := uint64(0)
			for _, p := range g.parts {
				sum += m.Resident[p]
			}
			s.Groups[j] = append(s.Groups[j], sum)
		}
	}
	return s
}

func servePage(w http.ResponseWriter, r *http.Request) {
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
	nonce := rand.Text()
	var out bytes.Buffer
	if r.Method != http.MethodHead {
		leave := serving.Enter(w, r, pageGate)
		if leave == nil {
			return
		}
		defer leave()
		p, err := newPage(r, &asked)
		if err != nil {
			serving.Error(w, http.StatusInternalServerError, err.Error())
			return
		}
		p.Nonce = nonce
		if err := pageTemplate.Execute(&out, p); err != nil {
			serving.Error(w, http.StatusInternalServerError, err.Error())
			return
		}
		leave()
	}
	pageHeaders(w, nonce)
	serving.Send(w, r, began, out.Bytes())
}

// request is what the query of the page asks for.
type request struct {
	since time.Time // that growth is counted from; zero: the begin of the verdict's window
	age   time.Duration
}

func (q *request) read(values url.Values) error {
	if text := values.Get("since"); text != "" {
		ms, err := strconv.ParseInt(text, 10, 64)
		if err != nil || ms < 0 || ms > math.MaxInt64/int64(time.Millisecond) {
			return fmt.Errorf(`invalid value %.100q for "since" - must be a time in milliseconds since 1970`, text)
		}
		q.since = time.UnixMilli(ms)
	}
	q.age = oldAge
	if text := values.Get("age"); text != "" {
		age, err := time.ParseDuration(text)
		if err != nil || age <= 0 {
			return fmt.Errorf(`invalid value %.100q for "age" - must be a positive duration like 60s or 1h30m`, text)
		}
		q.age = age
	}
	return nil
}

func newPage(r *http.Request, asked *request) (*page, error) {
	e, err := evaluate(asked.since, asked.age)
	if err != nil {
		return nil, err
	}
	now, stats := e.Now, &e.Now.Stats
	p := &page{
		Program: filepath.Base(os.Args[0]), PID: os.Getpid(), URL: baseURL(r),
		Verdict: e.Verdict, Share: e.Call, Moments: len(e.Recent) - 1, RSS: now.RSS, RSSSize: size(now.RSS), Groups: groups,
		Last: server.actions.text(), Coverage: stats.Interpose.String(), Now: now.Time.Format(time.DateTime),
		Rate:   size(uint64(stats.Rate)),
		Series: chart{Recent: newSeries(e.Recent), Life: newSeries(e.Life)},
	}
	if mayChange(r) {
		p.Token = server.token
	} else {
		p.Host, p.AddressURL = hostName(r), addressURL(r)
	}
	if !stats.PeakTime.IsZero() {
		p.Peak = fmt.Sprintf("%s at %s", size(stats.PeakBytes), stats.PeakTime.Format(time.DateTime))
	}
	for _, s := range flameSources {
		p.Flames = append(p.Flames, flameLink{Title: s.title, Href: "flame?of=" + s.key})
	}
	for _, g := range groups {
		p.Series.Titles, p.Series.Classes = append(p.Series.Titles, g.Title), append(p.Series.Classes, g.Class)
	}
	if p.Verdict.Window > 0 {
		p.Window = duration(p.Verdict.Window)
	}
	p.Lines, p.Small = newLines(&now.Moment)
	p.Large = e.Mapped
	p.Problems = problems(stats)
	p.Age, p.AgeQuery = duration(asked.age), asked.age.String()
	for _, t := range server.history.Starts() {
		p.Starts = append(p.Starts, startOption{t.UnixMilli(), fmt.Sprintf("%s (%s ago)", t.Format(time.TimeOnly), duration(now.Time.Sub(t))), t.Equal(e.Since)})
	}
	p.Stacks = e.Stacks
	p.GrowthWords = growthWords(e)
	p.TopGrew = e.Call != "" && len(p.Stacks.Growing) > 0
	if p.Top = p.Stacks.Largest; p.TopGrew {
		p.Top = p.Stacks.Growing
	}
	p.Top = p.Top[:min(len(p.Top), shortList)]
	if e.Call == "" {
		p.TopCall = topCall(p.Stacks.Largest)
	}
	if e.StacksError != nil {
		p.Problems = append(p.Problems, e.StacksError.Error())
	}
	return p, nil
}

// growthWords says what the growth of stacks is, where it may be held beside the verdict's.
func growthWords(e *evaluated) string {
	if len(e.Stacks.Growing) == 0 || e.Since.IsZero() {
		return ""
	}
	words := fmt.Sprintf("As asked for, since %s: %s in all stacks.", e.Since.Format(time.TimeOnly), size(e.Stacks.Grown))
	if e.Growth > 0 && (e.Kind == verdict.Leak || e.Kind == verdict.Finalizers) {
		words += " The verdict counts what is resident of it, and from the lowest values on, so less."
	}
	return words
}

// shortList is how many stacks are shown right below the verdict.
const shortList = 3

// topCall says which call most of the C memory in use is from.
func topCall(rows []stackRow) string {
	var stacks []verdict.Stack
	sum := int64(0)
	for i := range rows {
		stacks = append(stacks, verdict.Stack{Bytes: rows[i].InUse, Frames: rows[i].named})
		sum += rows[i].InUse
	}
	call := verdict.NameCall(stacks)
	if call == "" {
		return ""
	}
	if len(rows) == 1 {
		return fmt.Sprintf("The one C stack in use holds %s: %s", size(sum), call)
	}
	return fmt.Sprintf("The %d largest C stacks hold %s: %s", len(rows), size(sum), call)
}

// cannotTell says why numbers of malloc's are unknown.
const cannotTell = "this C library can't tell (glibc before 2.33)"

// newLines describes the parts of RSS. Those that round to 0.0 % of it are small.
func newLines(m *moment) (lines, small []line) {
	for p, info := range memory.Parts {
		bytes := m.Resident[p]
		share := 100 * float64(bytes) / float64(max(m.RSS, 1))
		l := line{Key: info.Key, Title: info.Title, Source: info.Source, Class: classOf(memory.Part(p)), Bytes: bytes, Size: size(bytes),
			Share: fmt.Sprintf("%.1f %%", share), Width: fmt.Sprintf("%.1f", share)}
		switch memory.Part(p) {
		case memory.CLive:
			l.Note = fmt.Sprintf("C live in all, as asked for: %s ± %s", size(m.CLive), size(m.CMargin))
			if resident := bytes + m.Resident[memory.CMmapped]; m.CLive > resident+resident/50+m.CMargin {
				l.Note += ", a part of it never touched"
			}
		case memory.CMmapped:
			l.Note = fmt.Sprintf("%d blocks with mappings of their own, %s resident or not", m.MallocChunks, size(m.MallocMmapped))
			if m.MallocUnknown {
				l.Note = "how many blocks have mappings of their own: unknown, " + cannotTell
			}
		case memory.CMore:
			l.Note = fmt.Sprintf("malloc says that %s are in use, large blocks included", size(m.MallocUsed))
			if m.MallocUnknown {
				l.Note = "how much malloc has in use: unknown, " + cannotTell
			}
		case memory.CFree:
			l.Note = fmt.Sprintf("free in malloc, resident or not: %s", size(m.MallocFree))
			if m.MallocUnknown {
				l.Note = "free in malloc: unknown, " + cannotTell
				if m.MallocEstimated {
					l.Note += "; what is said here is an estimate by cgoheap's own counters"
				}
			}
		case memory.GoStacks:
			l.Note = fmt.Sprintf("%d goroutines", m.Goroutines)
		case memory.GoDead:
			l.Note = "no garbage collection yet"
			if !m.LastGC.IsZero() {
				l.Note = fmt.Sprintf("last garbage collection %s ago", duration(max(m.Time.Sub(m.LastGC), 0)))
			}
		}
		if l.Share == "0.0 %" {
			small = append(small, l)
		} else {
			lines = append(lines, l)
		}
	}
	return lines, small
}

func problems(s *cgoheap.Stats) (out []string) {
	switch {
	case s.Rate == 0:
		out = append(out, "Sampling is off: C live stays as it was, see cgoheap.SetRate.")
	case s.Interpose == cgoheap.InterposeAside || s.Interpose == cgoheap.InterposePartly:
		out = append(out, "The program has another allocator than glibc's: what malloc is said to keep is not its.")
	}
	if !s.GoFrames {
		out = append(out, "C stacks have no Go frames: "+s.GoFramesProblem)
	}
	return out
}
