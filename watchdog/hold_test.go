package watchdog_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/grouplab"
)

// awaitHeld waits until every running watchdog knows whether the group is held.
func (w *world) awaitHeld(t *testing.T, held bool) {
	t.Helper()
	for _, d := range w.g.Dogs {
		if !d.Running() {
			continue
		}
		w.await(t, soon, func() error {
			st, err := d.Client().Status(w.ctx)
			if err == nil && (st.Leader == "" || st.Held != held) {
				err = fmt.Errorf("%s: held %v by %q, leader %q, want held %v", d.Name, st.Held, st.HeldBy, st.Leader, held)
			}
			return err
		})
	}
	want := 0.0
	if held {
		want = 1
	}
	w.awaitMetric(t, `understudy_held{stream=""}`, want)
}

func (o overrides) hold(t *testing.T) {
	d := o.w.follower(t)
	o.w.toggle(t, d)
	o.w.awaitHeld(t, true)
	o.w.awaitState(t, soon, "ORDERS", api.StateHeld, policy.Held)
	if st, err := o.w.g.Status(o.w.ctx); err != nil || st.HeldBy != "SIGUSR2 at "+d.Name {
		t.Errorf("held by %q, %v", st.HeldBy, err)
	}
	o.w.toggle(t, o.w.leader(t))
	o.w.awaitHeld(t, false)
}

// toggle holds or resumes the group, once the time has passed in which a signal counts as the one before, doubled.
func (w *world) toggle(t *testing.T, d *grouplab.Dog) {
	t.Helper()
	time.Sleep(1200 * time.Millisecond)
	w.signal(t, d, syscall.SIGUSR2)
}

// doubled signals the same wish twice: to two watchdogs, and twice to one, at once and half a second later.
func (o overrides) doubled(t *testing.T) {
	leader, follower := o.w.leader(t), o.w.follower(t)
	for _, c := range []struct {
		name  string
		to    [2]*grouplab.Dog
		pause time.Duration
	}{
		{"on two watchdogs", [2]*grouplab.Dog{leader, follower}, 0},
		{"on one", [2]*grouplab.Dog{follower, follower}, 0},
		{"half a second later", [2]*grouplab.Dog{follower, leader}, 500 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			o.w.toggle(t, c.to[0])
			time.Sleep(c.pause) // of a person, not to wait for anything
			o.w.signal(t, c.to[1], syscall.SIGUSR2)
			o.w.awaitHeld(t, true)
			o.w.throughout(t, awhile, func() error {
				st, err := o.w.g.Status(o.w.ctx)
				if err == nil && !st.Held {
					err = fmt.Errorf("the second signal undid the first")
				}
				return err
			})
			o.w.toggle(t, c.to[0])
			o.w.awaitHeld(t, false)
		})
	}
}

func (o overrides) survives(t *testing.T) {
	o.w.toggle(t, o.w.follower(t))
	o.w.awaitHeld(t, true)
	for _, d := range o.w.g.Dogs {
		o.w.signal(t, d, syscall.SIGTERM)
	}
	for _, d := range o.w.g.Dogs {
		o.w.awaitExit(t, d)
	}
	for _, d := range o.w.g.Dogs {
		o.w.restart(t, d)
	}
	o.w.awaitHeld(t, true)
	o.w.toggle(t, o.w.leader(t))
	o.w.awaitHeld(t, false)
	o.w.awaitState(t, soon, "ORDERS", api.StateHealthy, policy.Healthy)
}

// block makes a stream that keeps a failover at its fence: one at the target's site that holds a subject of ORDERS.
func (o overrides) block(t *testing.T) {
	t.Helper()
	c := map[string]any{"name": "BLOCK", "subjects": []string{"orders.blocked"}, "storage": "file", "retention": "limits", "num_replicas": 1}
	if err := o.w.ask("west", "STREAM.CREATE.BLOCK", c, nil); err != nil {
		t.Fatal(err)
	}
}

// holdBeforePromote ends the leader of a failover that waits at its fence, and holds the next one there.
func (o overrides) holdBeforePromote(t *testing.T) {
	w := o.w
	waiting := func(st api.StreamStatus) bool {
		return st.Epoch == 1 && st.Phase == policy.PhaseFence && st.Reason.Code == policy.SubjectsUnreleasable
	}
	w.awaitStatus(t, soon, "ORDERS", waiting)
	old := w.leader(t)
	w.terminate(t, old, syscall.SIGTERM)
	w.awaitStatus(t, soon, "ORDERS", waiting)
	w.restart(t, old)
	w.toggle(t, w.leader(t)) // the other one may still be catching up
	w.awaitHeld(t, true)
	if err := w.ask("west", "STREAM.DELETE.BLOCK", noBody{}, nil); err != nil {
		t.Fatal(err)
	}
	w.throughout(t, awhile, func() error { return w.isMirror("west", "ORDERS_WEST") })
	w.awaitStatus(t, soon, "ORDERS", func(st api.StreamStatus) bool {
		return st.Phase == policy.PhaseFence && st.Reason.Code == policy.Held
	})
	w.toggle(t, w.leader(t))
	st := w.awaitState(t, soon, "ORDERS", api.StateFailedOver, "")
	if st.Epoch != 1 {
		t.Errorf("epoch %d, want 1", st.Epoch)
	}
	if err := w.bound("west", "ORDERS_WEST", "ORDERS"); err != nil {
		t.Error(err)
	}
}

// heldReturn brings the site back while the group is held: its dual capture is told, and nothing is written.
func (o overrides) heldReturn(t *testing.T) {
	w := o.w
	events := w.subscribe(t, "eu")
	w.toggle(t, w.follower(t))
	w.awaitHeld(t, true)
	w.restoreEast(t)
	e := events.await(t, "origin_returned", "ORDERS")
	if e.Reason.Code != policy.DualCapture {
		t.Errorf("origin_returned with %s, want dual_capture", e.Reason)
	}
	w.throughout(t, awhile, func() error { return w.bound("east", "ORDERS", "ORDERS") })
	w.toggle(t, w.leader(t))
	w.awaitHeld(t, false)
	w.await(t, soon, func() error { return w.parked("east", "ORDERS") })
	w.awaitState(t, soon, "ORDERS", api.StateReturned, policy.Healthy)
	if v := w.metric(t, w.leader(t), `understudy_dual_capture_seconds{stream="ORDERS"}`); v < awhile.Seconds() {
		t.Errorf("dual_capture_seconds is %v, though it was held for %s", v, awhile)
	}
}
