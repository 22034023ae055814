package watchdog_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/natslab"
)

// TestRepointReport has a sibling mirror and a sourcing stream follow an origin that is replaced, where they are only to be
// reported. Both are left as they are, the history and the status say what is to be done, and the old origin is not made
// anew before a person has done it.
func TestRepointReport(t *testing.T) {
	w := start(t, setup{topology: natslab.Domains, streams: []stream{{name: "FED", onlyWest: true, extra: "repoint: report\n    rejoin: auto"}}})
	w.createSourcing(t, "eu", "AGG", func(*jetstream.StreamConfig) {})
	fork := w.publish(t, "east", "FED", 5).Sequence
	w.awaitSourced(t, "eu", "AGG", fork)
	before := map[string]string{}
	for _, name := range []string{"AGG", "FED_EU"} {
		before[name] = w.incarnation(t, "eu", name)
	}
	w.loseEast(t)
	w.awaitState(t, outage, "FED", api.StateFailedOver, "")
	const due = "eu/AGG sources from east/FED, which was replaced"
	w.awaitStatus(t, soon, "FED", func(s api.StreamStatus) bool {
		return len(s.Sourcing) == 1 && s.Sourcing[0].Waiting == policy.Reason{Code: policy.AwaitingApproval, Text: due + ": have it source from west/FED_WEST (repoint: report)"}
	})
	w.reported(t, due+" by west/FED_WEST")
	w.restoreEast(t)
	s := w.awaitStatus(t, outage, "FED", func(s api.StreamStatus) bool { return waits(s, policy.PhaseDelete) })
	if got, want := s.Aftercare[0].Waiting.Text, "eu/AGG sources from east/FED, and would take all of it again: re-point it, or say `understudy rejoin FED`"; got != want {
		t.Errorf("the care of the old origin waits with %q, want %q", got, want)
	}
	w.throughout(t, awhile, func() error { return w.parked("east", "FED") })
	for name, was := range before {
		if is := w.incarnation(t, "eu", name); is != was {
			t.Errorf("%s was changed from %s to %s", name, was, is)
		}
	}
	w.reported(t, due+" by west/FED_WEST")

	w.update(t, "eu", "AGG", func(c map[string]json.RawMessage) { // what the status asks for
		set(c, "sources", []jetstream.StreamSource{{Name: "FED_WEST", OptStartSeq: fork + 1, External: &jetstream.ExternalStream{APIPrefix: "$JS.west.API"}}})
	})
	w.await(t, outage, func() error { return w.follows("east/FED", "FED_WEST") })
	last := w.publish(t, "eu", "FED", 3).Sequence
	w.awaitSourced(t, "eu", "AGG", last)
	w.sourced(t, "eu", "AGG", last, nil)
	if is := w.incarnation(t, "eu", "FED_EU"); is != before["FED_EU"] {
		t.Errorf("the sibling was changed from %s to %s", before["FED_EU"], is)
	}
}

// incarnation is what tells a stream from one that was edited, or made anew.
func (w *world) incarnation(t *testing.T, site, name string) string {
	t.Helper()
	var i struct {
		Config  json.RawMessage `json:"config"`
		Created time.Time       `json:"created"`
	}
	w.await(t, soon, func() error { return w.ask(site, "STREAM.INFO."+name, noBody{}, &i) })
	return fmt.Sprintf("%s of %s", i.Config, i.Created)
}

// reported wants the history of FED to name the sourcing stream once, and to know of nothing done to it.
func (w *world) reported(t *testing.T, text string) {
	t.Helper()
	var found []string
	for _, e := range w.history(t, "FED") {
		switch {
		case e.Kind == "repoint_due":
			found = append(found, e.Reason.Text)
		case e.Kind == "source_repointed", e.Kind == "aftercare_started" && strings.Contains(e.Reason.Text, "FED_EU"):
			t.Errorf("the history has %s: %s", e.Kind, e.Reason.Text)
		}
	}
	if !slices.Equal(found, []string{text}) {
		t.Errorf("repoint_due says %q, want %q once", found, text)
	}
}
