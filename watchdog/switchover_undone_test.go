package watchdog_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/natslab"
)

// TestSwitchoverUndone cuts the mirrors off from their primaries when the switchovers are about to drain them: one passes
// its deadline, one is held, and of one the primary dies.
func TestSwitchoverUndone(t *testing.T) {
	const late, held, killed = "LATE", "STOPPED", "KILLED"
	w := start(t, setup{topology: natslab.Domains, streams: []stream{{name: late, onlyWest: true}, {name: held, onlyWest: true}, {name: killed, onlyWest: true}}})
	w.cutReplication(t) // their mirrors have just heard of them, and go on being told of for a while
	for _, s := range []string{late, held, killed} {
		w.publishOnly(t, "east", s, 10)
	}
	deadlines := map[string]int64{late: 1_500, held: 3_000, killed: 0}
	epochs := map[string]uint64{}
	for _, s := range []string{late, held, killed} {
		epochs[s] = w.beginSwitchover(t, s, "west", deadlines[s])
	}
	for _, s := range []string{held, killed} {
		w.awaitStatus(t, soon, s, func(st api.StreamStatus) bool { return st.Attempt != nil && st.Attempt.Phase == policy.PhaseDrain })
	}
	w.do(t, w.follower(t), api.Request{Verb: api.VerbHold, Stream: held})
	for _, s := range []string{late, held} {
		t.Run(s, func(t *testing.T) { w.givenBack(t, s, epochs[s]) })
	}
	w.do(t, w.follower(t), api.Request{Verb: api.VerbResume, Stream: held})
	t.Run(killed, func(t *testing.T) { w.failedOverInstead(t, killed, epochs[killed]) })
}

func (w *world) beginSwitchover(t *testing.T, name, site string, deadlineMS int64) uint64 {
	t.Helper()
	var r api.Response
	w.await(t, soon, func() error { // the newest round may be that before
		r = w.do(t, w.follower(t), api.Request{Verb: api.VerbSwitchover, Stream: name, Site: site, DeadlineMS: deadlineMS})
		if r.Outcome != api.OutcomeDone || r.Epoch == 0 {
			return fmt.Errorf("switchover of %s to %s: %+v", name, site, r)
		}
		return nil
	})
	return r.Epoch
}

// ended waits for the end of an attempt.
func (w *world) ended(t *testing.T, name string, epoch uint64) *policy.Attempt {
	t.Helper()
	return w.awaitStatus(t, outage, name, func(s api.StreamStatus) bool { return s.Last != nil && s.Last.Epoch == epoch }).Last
}

// givenBack wants a switchover to have undone itself: the primary has its subjects, takes messages, and nothing is missing.
func (w *world) givenBack(t *testing.T, name string, epoch uint64) {
	last := w.ended(t, name, epoch)
	if last.Phase != policy.PhaseAborted || !strings.Contains(last.Abort.Text, "not done within") {
		t.Errorf("the switchover ended %s: %s", last.Phase, last.Abort)
	}
	if text := last.Steps[len(last.Steps)-1].Text; !strings.Contains(text, "holds its subjects") {
		t.Errorf("it says at last: %s", text)
	}
	if err := w.bound("east", name, name); err != nil {
		t.Error(err)
	}
	if err := w.isMirror("west", mirrorName(name, "west")); err != nil {
		t.Error(err)
	}
	if ack := w.publishOnly(t, "east", name, 1); ack.Stream != name || ack.Sequence != 1+10+1 {
		t.Errorf("a publish was acked by %s as %d, want %s and 12", ack.Stream, ack.Sequence, name)
	}
}

// failedOverInstead kills the primary in the middle of its drain, and wants a failover after the threshold.
func (w *world) failedOverInstead(t *testing.T, name string, epoch uint64) {
	w.loseEast(t)
	if last := w.ended(t, name, epoch); last.Phase != policy.PhaseAborted || last.Abort.Code != policy.Suspect {
		t.Errorf("the switchover ended %s: %s", last.Phase, last.Abort)
	}
	s := w.awaitState(t, outage, name, api.StateFailedOver, "")
	if s.Last.Kind != policy.KindFailover || s.Last.Epoch != epoch+1 || s.Last.Loss.AtLeast != 10 {
		t.Errorf("%s %d, loss %+v; want failover %d and 10 messages", s.Last.Kind, s.Last.Epoch, s.Last.Loss, epoch+1)
	}
	if err := w.bound("west", mirrorName(name, "west"), name); err != nil {
		t.Error(err)
	}
}

// TestSwitchoverIdle asks first, and then leads a stream to and fro that nobody publishes to: what a seeding burned at the
// end of a primary its mirrors never hear of.
func TestSwitchoverIdle(t *testing.T) {
	w := start(t, setup{topology: natslab.Supercluster, streams: []stream{{name: "IDLE", onlyWest: true, extra: "rejoin: auto\n    repoint: auto"}}})
	nc, err := w.conn("east")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		m := nats.NewMsg("idle.x")
		m.Header.Set(nats.MsgIdHdr, fmt.Sprint(i))
		if _, err := nc.RequestMsgWithContext(w.ctx, m); err != nil {
			t.Fatal(err)
		}
	}
	before := w.mustInfo(t, "east", "IDLE")
	r := w.do(t, w.follower(t), api.Request{Verb: api.VerbSwitchover, Stream: "IDLE", Site: "west", DryRun: true})
	if r.Outcome != api.OutcomeDone || r.Epoch != 0 || !strings.Contains(r.Reason.Text, "west/IDLE_WEST") {
		t.Errorf("dry run: %+v", r)
	}
	if r := w.do(t, w.follower(t), api.Request{Verb: api.VerbSwitchover, Stream: "IDLE", Site: "eu", DryRun: true}); r.Outcome != api.OutcomeRefused {
		t.Errorf("dry run to a site that is never to be promoted: %+v", r)
	}
	if s, err := w.status("IDLE"); err != nil || s.Epoch != 0 || s.Attempt != nil || string(w.mustInfo(t, "east", "IDLE").raw()) != string(before.raw()) {
		t.Errorf("a dry run changed something: %+v %v", s, err)
	}
	for _, site := range []string{"west", "east", "west"} {
		if last := w.switchOver(t, "IDLE", site); last.Seed == nil || last.Seed.Burned == 0 {
			t.Errorf("seeded: %+v", last.Seed)
		}
		w.awaitState(t, outage, "IDLE", api.StateHealthy, policy.Healthy)
	}
	if got := w.mustInfo(t, "west", "IDLE_WEST").State.Msgs; got != before.State.Msgs {
		t.Errorf("%d messages, want %d", got, before.State.Msgs)
	}
}
