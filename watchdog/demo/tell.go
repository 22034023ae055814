package demo

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/watchdog/screen"
)

// tellDelay is how long a moment is kept back, so that what is learned late is told in its place.
const tellDelay = 800 * time.Millisecond

// Moment is one line of the timeline.
type Moment struct {
	// T is in milliseconds since the fault; absent while the world is built, negative shortly before the fault.
	T    *int64 `json:"t_ms,omitempty"`
	Who  string `json:"who"`
	Kind string `json:"kind"`
	Text string `json:"text"`

	at time.Time
}

// teller prints the timeline, as lines for people or as JSON lines.
type teller struct {
	o   Options
	out io.Writer
	screen.Paint

	mu      sync.Mutex
	zero    time.Time // the fault
	waiting []Moment
}

func newTeller(o Options) *teller { return &teller{o: o, out: o.Out, Paint: o.Colour} }

// say prints a line of the time before the fault.
func (t *teller) say(kind, format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m := Moment{Who: "demo", Kind: kind, Text: fmt.Sprintf(format, args...)}
	if t.o.JSON {
		t.json(m)
		return
	}
	fmt.Fprintln(t.out, strings.Join(screen.Wrap(m.Text, lineWidth), "\n"))
}

// fault starts the clock.
func (t *teller) fault(at time.Time, text string) {
	t.mu.Lock()
	t.zero = at
	if !t.o.JSON && !t.o.Story { // which has a title here
		fmt.Fprintln(t.out)
	}
	t.mu.Unlock()
	t.at(at, "FAULT", "fault", text)
	t.flush(time.Now())
}

// chapter prints the title of a part, after all that was kept until now.
func (t *teller) chapter(title string) {
	t.flush(time.Now())
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.o.JSON {
		t.json(Moment{Who: "demo", Kind: "chapter", Text: title})
		return
	}
	fmt.Fprintf(t.out, "\n%s\n", t.Bold(title))
}

func (t *teller) now(who, kind, text string) { t.at(time.Now(), who, kind, text) }

// at keeps a moment until flush prints it.
func (t *teller) at(at time.Time, who, kind, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting = append(t.waiting, Moment{Who: who, Kind: kind, Text: screen.Clean(text), at: at})
}

// flush prints the moments up to a time, in order.
func (t *teller) flush(until time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	slices.SortStableFunc(t.waiting, func(a, b Moment) int { return a.at.Compare(b.at) })
	n, _ := slices.BinarySearchFunc(t.waiting, until, func(m Moment, until time.Time) int {
		return cmp.Or(m.at.Compare(until), -1)
	})
	for _, m := range t.waiting[:n] {
		ms := m.at.Sub(t.zero).Milliseconds()
		m.T = &ms
		if t.o.JSON {
			t.json(m)
		} else {
			t.line(m)
		}
	}
	t.waiting = slices.Delete(t.waiting, 0, n)
}

// json prints one value on one line. An output that cannot be written ends the play by itself.
func (t *teller) json(v any) {
	e := json.NewEncoder(t.out)
	e.SetEscapeHTML(false)
	_ = e.Encode(v)
}

// line prints "+1.234s  who         text", the lines of a long text below each other.
func (t *teller) line(m Moment) {
	const clock, who = 9, 11
	indent := strings.Repeat(" ", clock+2+who+1)
	for i, l := range screen.Wrap(m.Text, lineWidth-len(indent)) {
		if i == 0 {
			fmt.Fprintf(t.out, "%*s  %s %s\n", clock, fmt.Sprintf("%+.3fs", float64(*m.T)/1000), t.who(m, fmt.Sprintf("%-*s", who, m.Who)), t.loud(m, l))
			continue
		}
		fmt.Fprintf(t.out, "%s%s\n", indent, l)
	}
}

func (t *teller) who(m Moment, s string) string {
	if m.Kind == "fault" {
		return t.Bad(s)
	}
	return t.Bold(s)
}

// loud paints the lines that matter most.
func (t *teller) loud(m Moment, s string) string {
	switch m.Kind {
	case "fault", "stopped", "stuck", "lost":
		return t.Bad(s)
	case "origin_down", "decision", "failover_started", "waiting", "origin_returned", "switchover_started":
		return t.Warn(s)
	case "failover_completed", "resumed", "origin_recovered", "origin_fenced", "replayed", "rejoined", "switchover_completed":
		return t.Good(s)
	}
	return s
}
