package watchdog

import (
	"testing"
	"time"

	"github.com/understudy-ha/understudy/policy"
)

// TestBlocked goes through an outage: what is told is each reason once, and none before the threshold has passed.
func TestBlocked(t *testing.T) {
	b, told := built(func(*streamBuilder) {}), blocked{}
	const before, after = 59 * time.Second, time.Minute // of a threshold of a minute
	mismatch := agreed(policy.AgreedDown, policy.ThresholdPending, policy.Down, policy.Timeout)
	mismatch.Votes[0].ConfigHash = "another"
	for _, step := range []struct {
		name    string
		outage  time.Duration
		held    bool
		running bool
		logged  policy.Code // the newest decision in the log
		want    policy.Code // told; "" for nothing
	}{
		{"not yet", before, false, false, policy.ConfigMismatch, ""},
		{"the threshold passes, with the reason of before", after, false, false, policy.ConfigMismatch, policy.ConfigMismatch},
		{"the next look", after, false, false, policy.ConfigMismatch, ""},
		{"held, and not yet decided", after, true, false, policy.ConfigMismatch, ""},
		{"held", after, true, false, policy.Held, policy.Held},
		{"the failover begins", after, false, true, policy.InProgress, ""},
		{"up again", 0, false, false, policy.ConfigMismatch, ""},
		{"the next outage begins at once", after, false, false, policy.ThresholdPending, ""},
		{"and is blocked", after, false, false, policy.ConfigMismatch, policy.ConfigMismatch},
	} {
		q, st := b.question, b.st
		st.Clock.Outage, st.Reason, st.Round = step.outage, policy.Reason{Code: step.logged}, mismatch
		if step.running {
			st.Attempt = &policy.Attempt{Epoch: 1, Phase: policy.PhaseFence, Target: west}
		}
		q.state.Hold.Held = step.held
		q.state.Streams = map[string]policy.StreamState{"EVENTS": st}
		list := told.next(q)
		switch {
		case step.want == "" && len(list) > 0:
			t.Errorf("%s: told %+v", step.name, list)
		case step.want != "" && (len(list) != 1 || list[0].Reason.Code != step.want || list[0].Stream != "EVENTS" || list[0].Kind != "failover_blocked"):
			t.Errorf("%s: told %+v, want %s", step.name, list, step.want)
		}
	}
}

// TestBlockedID wants a later leader to name the same blockade alike, and another one differently.
func TestBlockedID(t *testing.T) {
	s := policy.NewState()
	none := blockedID(s, "EVENTS")
	s.History = []policy.Entry{{Seq: 1, Stream: "EVENTS", Kind: "decision"}, {Seq: 2, Stream: "ORDERS", Kind: "decision"}, {Seq: 3, Stream: "EVENTS", Kind: "held"}}
	first := blockedID(s, "EVENTS")
	s.History = append(s.History, policy.Entry{Seq: 4, Stream: "EVENTS", Kind: "decision"})
	ids := map[string]bool{none: true, first: true, blockedID(s, "EVENTS"): true, blockedID(s, "ORDERS"): true}
	for _, e := range s.History {
		ids[eventID(e)] = true
	}
	if len(ids) != 8 {
		t.Errorf("got %d different ids, want 8: %v", len(ids), ids)
	}
}
