package watchdog

import (
	"slices"
	"time"

	"github.com/understudy-ha/understudy/policy"
)

const kindBlocked = "failover_blocked"

// blocked is, by stream, the reason that was last told for not failing over a stream whose threshold has passed. It asks
// the policy instead of waiting for the history: a reason from before the threshold passed is not logged again when it
// does.
type blocked map[string]policy.Code

// next returns the streams that are blocked now and whose reason is to be told: once a change of it.
func (b blocked) next(q question) []policy.Entry {
	var list []policy.Entry
	for _, name := range q.rules.StreamNames() {
		st, known := q.state.Streams[name]
		if !known || st.Clock.Outage < q.rules.Streams[name].Threshold {
			delete(b, name)
			continue
		}
		if b[name] == st.Reason.Code {
			continue
		}
		a := policy.Decide(q.rules, q.hash, q.node, q.state, name)
		if a.Reason.Code != st.Reason.Code {
			continue // this round's decision has yet to reach the log
		}
		b[name] = a.Reason.Code
		if a.Reason.Code != policy.InProgress {
			list = append(list, policy.Entry{At: time.Now().UTC(), Stream: name, Epoch: st.Epoch, Kind: kindBlocked, Reason: a.Reason})
		}
	}
	return list
}

// tellBlocked tells what is newly blocked.
func (t *teller) tellBlocked() {
	q := t.s.question()
	for _, e := range t.blocked.next(q) {
		st, sr := q.state.Streams[e.Stream], q.rules.Streams[e.Stream]
		t.s.log.Warn("failover blocked", "event", e.Kind, "reason", string(e.Reason.Code), "detail", e.Reason.Text, "stream", e.Stream,
			"epoch", e.Epoch, "outage", st.Clock.Outage, "threshold", sr.Threshold)
		t.send(t.event(e, blockedID(q.state, e.Stream)))
	}
}

// blockedID is the same for the same reason, whichever leader tells it: that of the decision which gave it.
func blockedID(s policy.State, stream string) string {
	const suffix = "-blocked"
	for _, e := range slices.Backward(s.History) {
		if e.Stream == stream && e.Kind == "decision" {
			return eventID(e) + suffix
		}
	}
	return eventID(policy.Entry{At: s.At, Seq: s.EntrySeq}) + "-" + stream + suffix // older than the history
}
