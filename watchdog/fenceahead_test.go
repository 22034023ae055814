package watchdog_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/grouplab"
	"github.com/understudy-ha/understudy/watchdog/natslab"
)

// TestFenceAhead loses a supercluster's site twice: once it is back before the threshold, once it is not.
func TestFenceAhead(t *testing.T) {
	t.Parallel()
	w := start(t, setup{topology: natslab.Supercluster, settings: grouplab.Settings{After: 25 * time.Second},
		streams: []stream{{name: "AHEAD", onlyWest: true, extra: "fence: {after: 1s}"}, {name: "PLAIN", onlyWest: true}}})
	f := fenceAhead{w: w}
	t.Run("parked", f.parked)
	t.Run("returned-in-time", f.returned)
	t.Run("failed-over", f.failedOver)
}

type fenceAhead struct{ w *world }

// await waits until the origin of AHEAD is parked ahead of the threshold.
func (f fenceAhead) await(t *testing.T) api.StreamStatus {
	t.Helper()
	return f.w.awaitStatus(t, outage, "AHEAD", func(st api.StreamStatus) bool {
		return st.Attempt != nil && st.Attempt.Kind == policy.KindFence && st.Phase == policy.PhaseFenced
	})
}

// owners are the streams that hold a guarded stream's subjects, as the meta group has it; mirrors are left out.
func (f fenceAhead) owners(name string) ([]string, error) {
	var answer struct {
		Streams []string `json:"streams"`
	}
	err := f.w.ask("west", "STREAM.NAMES", map[string]string{"subject": subject(name) + ".x"}, &answer)
	return answer.Streams, err
}

func (f fenceAhead) parked(t *testing.T) {
	if err := f.w.lab.Site("east").Kill(); err != nil {
		t.Fatal(err)
	}
	st := f.await(t)
	if st.State != api.StateSuspect || st.OutageMS >= st.ThresholdMS {
		t.Errorf("fenced, the stream is %s after %d ms, want suspect before the threshold", st.State, st.OutageMS)
	}
	if list, err := f.owners("AHEAD"); err != nil || len(list) > 0 {
		t.Errorf("%v hold the subjects of the fenced stream: %v", list, err)
	}
	if list, err := f.owners("PLAIN"); err != nil || len(list) != 1 {
		t.Errorf("%v hold the subjects of the stream without fence.after: %v", list, err)
	}
	if err := f.w.isMirror("west", "AHEAD_WEST"); err != nil {
		t.Error(err)
	}
}

// returned wants the origin to take messages again, and no failover.
func (f fenceAhead) returned(t *testing.T) {
	if err := f.w.lab.Site("east").Restart(f.w.ctx); err != nil {
		t.Fatal(err)
	}
	// A server that returns goes by what it had on its disk for some seconds: the park comes through after that, and is undone.
	f.w.await(t, outage, func() error {
		i, err := f.w.info("east", "AHEAD")
		if write := i.metadata()["understudy.write"]; err == nil && !strings.Contains(write, ".unpark.") {
			err = fmt.Errorf("the origin bears write %q, want an unpark", write)
		}
		return err
	})
	f.w.awaitState(t, soon, "AHEAD", api.StateHealthy, policy.Healthy)
	f.w.throughout(t, awhile, func() error { return f.w.bound("east", "AHEAD", "AHEAD") })
	if ack := f.w.publish(t, "eu", "AHEAD", 1); ack.Stream != "AHEAD" {
		t.Errorf("a publish was taken by %s", ack.Stream)
	}
	for kind, want := range map[string]int{"fence_started": 1, "fence_aborted": 1, "failover_started": 0} {
		f.w.await(t, soon, func() error {
			if n := f.w.count(t, "AHEAD", kind); n != want {
				return fmt.Errorf("%s was told %d times, want %d", kind, n, want)
			}
			return nil
		})
	}
}

// failedOver loses the site for longer, its watchdog, too.
func (f fenceAhead) failedOver(t *testing.T) {
	if err := f.w.g.MoveLeader(f.w.ctx, "wd-west"); err != nil {
		t.Fatal(err)
	}
	f.w.loseEast(t)
	f.await(t)
	st := f.w.awaitState(t, 2*outage, "AHEAD", api.StateFailedOver, "")
	if st.Epoch != 3 || st.Last == nil || st.Last.Kind != policy.KindFailover || st.Last.FenceDebt {
		t.Errorf("epoch %d, %+v, want a fence and a failover after the first fence", st.Epoch, st.Last)
	}
	if err := f.w.bound("west", "AHEAD_WEST", "AHEAD"); err != nil {
		t.Error(err)
	}
	f.w.restoreEast(t)
	f.w.awaitState(t, outage, "AHEAD", api.StateReturned, "")
	f.w.await(t, soon, func() error { return f.w.parked("east", "AHEAD") })
}
