package watchdog_test

import (
	"fmt"
	"testing"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
)

// TestFiveWatchdogs loses the origin's site with two of five watchdogs: three are a majority still. With one more lost,
// nothing is decided, and the two that are left say why.
func TestFiveWatchdogs(t *testing.T) {
	t.Parallel()
	w := start(t, setup{streams: []stream{{name: "EVENTS"}}, dogs: []string{"east", "east", "west", "west", "eu"}})
	if st, err := w.g.Status(w.ctx); err != nil || len(st.Peers) != 5 {
		t.Fatalf("peers: %v %v", st.Peers, err)
	}
	w.publish(t, "east", "EVENTS", messages)
	w.loseEast(t)
	st := w.awaitState(t, outage, "EVENTS", api.StateFailedOver, "")
	down := 0
	for _, v := range st.Last.Votes {
		if v.Verdict == policy.Down {
			down++
		}
	}
	if st.Epoch != 1 || len(st.Last.Votes) != 5 || down != 3 {
		t.Errorf("epoch %d, votes %+v, want 3 of 5 that see it down", st.Epoch, st.Last.Votes)
	}
	left := w.g.Dog("wd-west")
	if err := w.g.Dog("wd-eu").Kill(); err != nil {
		t.Fatal(err)
	}
	w.await(t, soon, func() error {
		st, err := left.Client().Status(w.ctx)
		if err != nil {
			return err
		}
		s, ok := st.Stream("EVENTS")
		if st.Quorum || !ok || s.Reason.Code != policy.NoQuorum || s.State != api.StateUnknown {
			return fmt.Errorf("two of five: quorum %t, %s %s", st.Quorum, s.State, s.Reason)
		}
		return nil
	})
	w.restoreEast(t)
	st = w.awaitState(t, outage, "EVENTS", api.StateReturned, policy.Healthy)
	w.await(t, soon, func() error { return w.parked("east", "EVENTS") })
	if st.Primary.Site == "east" {
		t.Error("the old origin is the primary again")
	}
}
