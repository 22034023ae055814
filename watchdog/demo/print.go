package demo

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/understudy-ha/understudy/watchdog/natslab"
)

const (
	lineWidth = 100
	// logTail is how many lines of each watchdog's log a failed demo shows.
	logTail = 25
)

// building says what is being built.
func (t *teller) building(o Options) {
	servers := "a nats-server"
	if o.Servers > 1 {
		servers = fmt.Sprintf("%d nats-servers", o.Servers)
	}
	switch o.Topology {
	case natslab.Domains:
		t.say("building", "Sites east, west and eu have %s each: three JetStream domains, joined by leafnodes.", servers)
	case natslab.Supercluster:
		t.say("building", "Sites east, west and eu have %s each: one supercluster with one JetStream meta group.", servers)
	case natslab.TwoCluster:
		t.say("building", "Sites east and west have %s each: one supercluster with one JetStream meta group.", servers)
	}
	mirrors := "EVENTS_W in west and EVENTS_EU in eu mirror it"
	if o.Topology == natslab.TwoCluster {
		mirrors = "EVENTS_W in west mirrors it"
	}
	t.say("building", "The stream %s lives in %s; %s.", streamName, origin, mirrors)
	t.say("building", "Three watchdogs, one a place, mode %s: an outage of %s is permanent.", o.Mode, o.After)
}

func (t *teller) ready(leader string) {
	t.say("ready", "Four publishers outside of %s send to %s, and retry every message until it is acked.", origin, subjects)
	if t.o.Story {
		t.say("ready", "One more publishes inside of %s. A worker reads through the durable consumer %q, and acknowledges every message.", origin, durable)
	}
	t.say("ready", "All is healthy; %s leads the watchdogs.", leader)
}

// result prints what it all came to.
func (t *teller) result(r Result, s *scene) error {
	t.flush(time.Now().Add(time.Hour))
	if t.o.JSON {
		t.json(r)
		return nil
	}
	accounts, verdict := t.accounts(r), t.verdict(r)
	if r.StoryResult != nil {
		accounts, verdict = t.storyAccounts(r), t.storyVerdict(r)
	}
	fmt.Fprintf(t.out, "\n%s\n%s\n", accounts, verdict)
	if s != nil && t.o.Keep {
		fmt.Fprintf(t.out, "All files are kept in %s\n", s.lab.Dir())
	}
	return nil
}

// accounts is the table of messages and times.
func (t *teller) accounts(r Result) string {
	place := "on the new primary"
	if r.Outcome != FailedOver {
		place = "on the origin"
	}
	if r.Fault == string(Delete) {
		place = "deleted with the origin: not counted"
	}
	return accountTable([]table.Row{
		{"acked", r.Acked, "threshold", ms(r.ThresholdMS)},
		{place, r.OnPrimary, "fault → first seen down", ms(r.DetectMS)},
		{"only in the dead origin's store (tail)", r.Tail, "fault → decided", ms(r.DecideMS)},
		{"lost", r.Lost, "decided → subjects bound", ms(r.PromoteMS)},
		{"tail as estimated at the decision", r.AtLeast, "acks again, beyond the threshold", ms(r.BeyondThresholdMS)},
		{"stored twice by retries", r.Duplicates, "longest time without an ack", ms(r.PublishGapMS)},
	})
}

// accountTable has messages at the left and times at the right.
func accountTable(rows []table.Row) string {
	w := table.NewWriter()
	style := table.StyleLight
	style.Format.Header = text.FormatDefault
	w.SetStyle(style)
	w.SetColumnConfigs([]table.ColumnConfig{{Number: 2, Align: text.AlignRight}, {Number: 4, Align: text.AlignRight}})
	w.AppendHeader(table.Row{"messages", "", "times", ""})
	w.AppendRows(rows)
	return w.Render()
}

// verdict is the last line.
func (t *teller) verdict(r Result) string {
	switch {
	case !r.OK:
		return fmt.Sprintf("Expected %s; got %s/%s, %d promoted, %d lost.\n", r.Expected, r.Outcome, r.Reason, r.Promotions, r.Lost) +
			t.Bad("NOT OK") + ": see the ends of the watchdogs' logs above; with --keep all files stay"
	case r.Outcome == FailedOver:
		return t.Good("ok") + ": one mirror promoted, every acked message accounted for. Next: --fault partition, or README.md"
	}
	return t.Good("ok") + fmt.Sprintf(": no failover, as it should be (%s). Next: --help, or README.md", r.Reason)
}

func ms(n int64) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprintf("%d ms", n)
}

// logs shows the ends of the watchdogs' logs.
func (t *teller) logs(s *scene) {
	t.flush(time.Now().Add(time.Hour))
	if s.group == nil {
		return
	}
	for _, d := range s.group.Dogs {
		b, err := os.ReadFile(d.LogFile)
		if err != nil {
			continue
		}
		lines := strings.Split(strings.TrimSpace(string(b)), "\n")
		lines = lines[max(0, len(lines)-logTail):]
		if t.o.JSON {
			t.json(Moment{Who: d.Name, Kind: "log", Text: strings.Join(lines, "\n")})
			continue
		}
		fmt.Fprintf(t.out, "\nThe log of %s ends:\n%s\n", d.Name, strings.Join(lines, "\n"))
	}
}
