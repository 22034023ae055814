package watchdog_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/natslab"
	"github.com/understudy-ha/understudy/watchdog/salvage"
)

// TestReturnGuard has old origins come back that take messages beside the new primary, in the ways in which no fence can
// keep them from it. Each is parked, what it took is measured and archived, and nothing is lost, or doubled by a replay.
func TestReturnGuard(t *testing.T) {
	for _, c := range []struct {
		name  string
		setup setup
		test  func(*returnGuard, *testing.T)
	}{
		{"restarted", setup{topology: natslab.Supercluster}, (*returnGuard).restarted},
		{"cut-off", setup{topology: natslab.Supercluster, servers: 3}, (*returnGuard).cutOff},
		{"frozen", setup{}, (*returnGuard).frozen},
	} {
		if c.setup.servers > 1 && !whole("TestReturnGuard") {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.setup.streams = []stream{{name: "GUARD", onlyWest: true}}
			g := &returnGuard{w: start(t, c.setup), b: newBook()}
			g.w.publish(t, "east", "GUARD", messages)
			c.test(g, t)
		})
	}
}

type returnGuard struct {
	w *world
	b *book
}

// restarted is an origin whose fence was committed while its servers were dead: they begin with what they had on disk,
// and take messages until they have caught up with the meta group, mostly for seconds. Publishers at its site are the
// first to find it. Its links are slow at first: else, in one run of ten, it has caught up before its first ack.
func (g *returnGuard) restarted(t *testing.T) {
	g.w.loseEast(t)
	stop := g.w.background(t, g.b, "GUARD", "east", "eu")
	g.w.awaitState(t, outage, "GUARD", api.StateFailedOver, "")
	g.flows(t, 100)
	g.delay(t, 200*time.Millisecond)
	g.w.restoreEast(t)
	g.w.await(t, soon, func() error {
		if g.b.acked("GUARD") == 0 {
			return errors.New("the old origin takes nothing")
		}
		return nil
	})
	g.delay(t, 0)
	g.returns(t, stop)
	a, _ := g.settle(t)
	if a.Captured.Messages == 0 {
		t.Error("the restarted origin took no message: this test shows nothing")
	}
}

// cutOff is an origin with its whole raft group, and publishers, behind a cut: it is alive all the time, and both sides
// take what is published while the healed network and its meta group find together again.
func (g *returnGuard) cutOff(t *testing.T) {
	g.cut(t, natslab.BlackHole)
	stop := g.w.background(t, g.b, "GUARD", "east", "eu")
	g.w.awaitState(t, outage, "GUARD", api.StateFailedOver, "")
	g.flows(t, 300)
	healed := g.b.acked("GUARD")
	if healed < 100 {
		t.Errorf("the cut-off origin took %d messages only", healed)
	}
	g.cut(t, natslab.Open)
	g.returns(t, stop)
	a, r := g.settle(t)
	if a.Captured.Messages == 0 || a.Captured.Span() < time.Second || r.Replayed == 0 {
		t.Errorf("captured %+v, replayed %+v: want what it took behind the cut", a.Captured, r)
	}
}

// frozen is an origin whose servers were stopped: their links stay up, and when they go on they take from their sockets'
// buffers what the new primary has acked.
func (g *returnGuard) frozen(t *testing.T) {
	if err := g.w.lab.Site("east").Pause(); err != nil {
		t.Fatal(err)
	}
	stop := g.w.background(t, g.b, "GUARD", "eu")
	g.w.awaitState(t, outage, "GUARD", api.StateFailedOver, "")
	g.flows(t, 1000)
	if err := g.w.lab.Site("east").Resume(); err != nil {
		t.Fatal(err)
	}
	g.returns(t, stop)
	a, r := g.settle(t)
	if a.Captured.Messages == 0 || a.OnPrimary != a.Messages || r.Replayed > 0 {
		t.Errorf("captured %+v of %d, %d on the primary, replayed %+v: want all of them recognised", a.Captured, a.Messages, a.OnPrimary, r)
	}
}

// cut sets the links of the origin's site.
func (g *returnGuard) cut(t *testing.T, how natslab.LinkState) {
	t.Helper()
	if err := g.w.lab.Cut("east", how); err != nil {
		t.Fatal(err)
	}
}

func (g *returnGuard) delay(t *testing.T, d time.Duration) {
	t.Helper()
	if err := g.w.lab.Delay("east", d); err != nil {
		t.Fatal(err)
	}
}

// flows waits until the new primary has acked so many messages more.
func (g *returnGuard) flows(t *testing.T, n int) {
	t.Helper()
	before := g.b.acked("GUARD_WEST")
	g.w.await(t, soon, func() error {
		if got := g.b.acked("GUARD_WEST") - before; got < n {
			return fmt.Errorf("the new primary has acked %d messages of %d; %s", got, n, g.b)
		}
		return nil
	})
}

// returns wants the origin parked for good while publishers go on, and then only the new primary to ack.
func (g *returnGuard) returns(t *testing.T, stop func()) {
	t.Helper()
	began := time.Now()
	g.w.awaitStatus(t, outage, "GUARD", func(s api.StreamStatus) bool { return len(s.Archives) > 0 })
	if err := g.w.parked("east", "GUARD"); err != nil {
		t.Error(err)
	}
	old := g.b.acked("GUARD")
	g.flows(t, 100)
	if n := g.b.acked("GUARD") - old; n > 0 {
		t.Errorf("%d acks by the old origin after it was archived", n)
	}
	stop()
	t.Logf("archived %s after its return; %s", time.Since(began).Round(time.Millisecond), g.b)
}

// settle compares what is told of the capture with what the archive holds, and accounts for every ack.
func (g *returnGuard) settle(t *testing.T) (policy.Archive, salvage.Replayed) {
	t.Helper()
	s, err := g.w.status("GUARD")
	if err != nil || len(s.Archives) != 1 {
		t.Fatalf("archives: %+v, %v", s.Archives, err)
	}
	a := s.Archives[0]
	archive, primary := g.w.side(t, "west", a.Stream), g.w.side(t, "west", "GUARD_WEST")
	var want policy.Stored
	bound := boundAt(s)
	salvaged := g.w.archived(t, archive, func(e salvage.Entry) {
		if !e.Time.After(bound) {
			return
		}
		if want.Messages++; want.First == 0 {
			want.First, want.FirstAt = e.Seq, e.Time
		}
		want.Last, want.LastAt = e.Seq, e.Time
	})
	if a.Captured != want {
		t.Errorf("captured: %+v, want %+v", a.Captured, want)
	}
	g.told(t, s, want)
	g.b.balance(t, g.w.contents(t, "west", "GUARD_WEST"), salvaged)
	r := g.w.replay(t, archive, primary)
	g.b.balance(t, g.w.contents(t, "west", "GUARD_WEST"), nil)
	t.Logf("captured %d messages in %s, archived %d, on the primary %d, replayed %d", want.Messages, want.Span().Round(time.Millisecond),
		a.Messages, a.OnPrimary, r.Replayed)
	return a, r
}

// boundAt is when the new primary was seen bound.
func boundAt(s api.StreamStatus) time.Time {
	for _, step := range s.Last.Steps {
		if step.Phase == policy.PhaseBind {
			return step.At
		}
	}
	return time.Time{}
}

// told wants status, metrics and history to tell of the capture.
func (g *returnGuard) told(t *testing.T, s api.StreamStatus, want policy.Stored) {
	t.Helper()
	if want.Messages == 0 {
		return
	}
	if len(s.DualCapture) == 0 || s.DualCapture[0].Stored == nil || *s.DualCapture[0].Stored != want || s.DualCapture[0].Fenced.IsZero() {
		t.Errorf("dual capture: %+v, want one with %+v", s.DualCapture, want)
	}
	if s.DualCaptureMS != want.Span().Milliseconds() {
		t.Errorf("dual_capture_ms is %d, want %s", s.DualCaptureMS, want.Span())
	}
	if n := g.w.count(t, "GUARD", "dual_capture"); n != 1 {
		t.Errorf("the history tells of it %d times", n)
	}
	g.w.awaitMetric(t, `understudy_dual_capture_messages{stream="GUARD"}`, float64(want.Messages))
	if v := g.w.metric(t, g.w.leader(t), `understudy_dual_capture_seconds{stream="GUARD"}`); v < want.Span().Seconds() {
		t.Errorf("dual_capture_seconds is %v, want %s at least", v, want.Span())
	}
}
