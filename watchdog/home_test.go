package watchdog_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/natslab"
)

// TestThereAndBack loses a site with messages that never left it, brings it back, and ends where it began: the tail is
// archived, the old origin a mirror, then the primary again, and no message is missing.
func TestThereAndBack(t *testing.T) {
	for _, topology := range []natslab.Topology{natslab.Domains, natslab.Supercluster} {
		t.Run(string(topology), func(t *testing.T) {
			t.Parallel()
			thereAndBack(t, topology)
		})
	}
}

func thereAndBack(t *testing.T, topology natslab.Topology) {
	replay := topology == natslab.Supercluster
	extra := "repoint: auto"
	if replay {
		extra += "\n    salvage: replay"
	}
	w := start(t, setup{topology: topology, streams: []stream{{name: "HOME", onlyWest: true, extra: extra}}})
	last := w.publish(t, "east", "HOME", 20)
	w.cutReplication(t)
	w.publishOnly(t, "east", "HOME", 7)
	w.loseEast(t)
	w.healReplication(t)
	w.awaitState(t, outage, "HOME", api.StateFailedOver, "")
	w.publish(t, "eu", "HOME", 5)
	w.restoreEast(t)
	s := w.awaitStatus(t, outage, "HOME", func(s api.StreamStatus) bool { return len(s.Archives) > 0 })
	if a := s.Archives[0]; a.Messages != 7 || a.OnPrimary != 5 || a.Fork != last.Sequence {
		t.Errorf("archived: %+v; want 7 messages above %d, of which 5 were published again", a, last.Sequence)
	}
	w.awaitStatus(t, outage, "HOME", func(s api.StreamStatus) bool { return waits(s, policy.PhaseArchived) })
	if r := w.do(t, w.follower(t), api.Request{Verb: api.VerbRejoin, Stream: "HOME"}); r.Outcome != api.OutcomeDone {
		t.Fatalf("rejoin: %+v", r)
	}
	w.awaitState(t, outage, "HOME", api.StateHealthy, policy.Healthy)
	for _, m := range []string{"east/HOME", "eu/HOME_EU"} {
		if err := w.follows(m, "HOME_WEST"); err != nil {
			t.Error(err)
		}
	}
	w.switchOver(t, "HOME", "east")
	w.awaitState(t, outage, "HOME", api.StateHealthy, policy.Healthy)
	if err := w.bound("east", "HOME", "HOME"); err != nil {
		t.Error(err)
	}
	if err := w.follows("west/HOME_WEST", "HOME"); err != nil {
		t.Error(err)
	}
	if ack := w.publish(t, "eu", "HOME", 1); ack.Stream != "HOME" {
		t.Errorf("a publish was taken by %s", ack.Stream)
	}
	want := uint64(1 + 20 + 5 + 1)
	if replay { // two of the seven were not published again by the application
		want += 2
	}
	if got := w.mustInfo(t, "east", "HOME").State.Msgs; got != want {
		t.Errorf("the primary holds %d messages, want %d", got, want)
	}
}

// cutReplication keeps the mirrors from following the origin, which goes on taking messages.
func (w *world) cutReplication(t *testing.T) {
	t.Helper()
	for _, site := range w.beyond() {
		if err := w.lab.CutPair("east", site, natslab.BlackHole); err != nil {
			t.Fatal(err)
		}
	}
}

func (w *world) healReplication(t *testing.T) {
	t.Helper()
	for _, site := range w.beyond() {
		if err := w.lab.HealPair("east", site); err != nil {
			t.Fatal(err)
		}
	}
}

// beyond is what the origin's site replicates to, or through.
func (w *world) beyond() []string {
	if w.lab.Topology() == natslab.Domains {
		return []string{"hub"}
	}
	return []string{"west", "eu"}
}

func waits(s api.StreamStatus, phase policy.Phase) bool {
	return len(s.Aftercare) > 0 && s.Aftercare[0].Phase == phase && s.Aftercare[0].Waiting.Code == policy.AwaitingApproval
}

// switchOver asks for one and waits for its end.
func (w *world) switchOver(t *testing.T, name, site string) *policy.Attempt {
	t.Helper()
	r := w.do(t, w.follower(t), api.Request{Verb: api.VerbSwitchover, Stream: name, Site: site, DeadlineMS: 20_000})
	if r.Outcome != api.OutcomeDone || r.Epoch == 0 {
		t.Fatalf("switchover of %s to %s: %+v", name, site, r)
	}
	s := w.awaitStatus(t, outage, name, func(s api.StreamStatus) bool { return s.Last != nil && s.Last.Epoch == r.Epoch })
	if s.Last.Phase != policy.PhaseDone {
		t.Fatalf("switchover of %s ended %s: %s; %+v", name, s.Last.Phase, s.Last.Waiting, s.Last.Steps)
	}
	for _, step := range s.Last.Steps {
		t.Logf("%s %s %s", step.Phase, step.Took.Round(100*time.Microsecond), step.Text)
	}
	return s.Last
}

// follows says whether a member, by site/stream, mirrors a stream.
func (w *world) follows(member, upstream string) error {
	site, name, _ := strings.Cut(member, "/")
	i, err := w.info(site, name)
	if err != nil {
		return err
	}
	s, err := policy.ShapeOf(i.raw())
	if err != nil || s.Kind != policy.ShapeMirror || s.Upstream != upstream {
		return fmt.Errorf("%s is %s, want a mirror of %s", member, s, upstream)
	}
	return nil
}
