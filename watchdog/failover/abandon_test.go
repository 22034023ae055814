//go:build failpoint

package failover_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/grouplab"
	"github.com/understudy-ha/understudy/watchdog/natslab"
)

// TestCrashThenTargetLost kills the leader once it has logged its promote, and the target's server before a successor
// sends it: the failover keeps its target and waits, until a person gives that up. Another mirror is promoted then, and
// the first one, back as the mirror that it was, is left alone.
func TestCrashThenTargetLost(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	const point = "after-open-promote"
	w := startCrash(ctx, t, natslab.Domains, grouplab.Settings{Every: 500 * time.Millisecond,
		Extra: "raft: {heartbeat: 3s, election: 3s, lease: 1s}"}, // a slow election: the target is dead before there is a successor
		[]guarded{guard("S", []string{"west", "eu"}, point)})
	w.kill(t, "east")
	w.await(ctx, t, point+"@S")
	target := w.targetOf(ctx, t)
	w.kill(t, target.Site)
	waits := func(st api.Status) bool {
		s, ok := st.Stream("S")
		return ok && s.Attempt != nil && s.Attempt.Waiting.Code == policy.TargetUnreachable
	}
	w.wait(ctx, t, "it waits for its target", waits)
	w.do(ctx, t, api.Request{Verb: api.VerbFailover, Stream: "S", Site: target.Site, Abandon: true, By: "test"})
	st := w.wait(ctx, t, "S is failed over", one("S", api.StateFailedOver))
	s, _ := st.Stream("S")
	if s.Primary == target || s.Primary.Site == "east" || s.Epoch != 2 {
		t.Errorf("the primary is %s after epoch %d; %s was given up", s.Primary, s.Epoch, target)
	}
	if err := w.lab.Site(target.Site).Restart(ctx); err != nil {
		t.Fatal(err)
	}
	back := func(st api.Status) bool {
		s, _ := st.Stream("S")
		for _, m := range s.Members {
			if m.Site == target.Site {
				return m.Evidence == policy.Answered && s.Reason.Code == policy.Healthy
			}
		}
		return false
	}
	w.checkServers(ctx, t, w.wait(ctx, t, target.Site+" is back", back))
}

// targetOf is the target of the failover that runs, asked of any watchdog that is left.
func (w *crashWorld) targetOf(ctx context.Context, t *testing.T) policy.MemberID {
	t.Helper()
	for ctx.Err() == nil {
		for _, d := range w.g.Dogs {
			st, err := d.Client().Status(ctx)
			if s, ok := st.Stream("S"); err == nil && ok && s.Attempt != nil {
				return s.Attempt.Target
			}
		}
	}
	t.Fatal(fmt.Errorf("nobody knows of a failover: %w", ctx.Err()))
	return policy.MemberID{}
}
