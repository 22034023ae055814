//go:build failpoint

package failover_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
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
	lab, err := natslab.Start(ctx, natslab.Options{Topology: natslab.Domains})
	if err != nil {
		t.Fatal(err)
	}
	defer lab.Close()
	makeGuarded(ctx, t, lab, "S")
	met, point := t.TempDir(), "after-open-promote@S"
	g, err := grouplab.Start(ctx, grouplab.Options{Lab: lab,
		Streams: []grouplab.Stream{{Name: "S", Origin: "east", Mirrors: map[string]string{"west": "S_W", "eu": "S_EU"}}},
		// A slow election, so that the target is dead before there is a successor.
		Settings: grouplab.Settings{Every: 500 * time.Millisecond, Extra: "raft: {heartbeat: 3s, election: 3s, lease: 1s}"},
		Env:      []string{"UNDERSTUDY_FAILPOINTS=" + point, "UNDERSTUDY_FAILPOINT_DIR=" + met}})
	if err != nil {
		t.Fatal(err)
	}
	stop := restartDead(t, g)
	defer func() { stop(); g.Close() }()
	defer func() {
		if t.Failed() {
			tails(t, g)
		}
	}()
	if _, err := g.WaitStatus(ctx, all(api.StateHealthy)); err != nil {
		t.Fatal(err)
	}
	if err := lab.Site("east").Kill(); err != nil {
		t.Fatal(err)
	}
	for _, err := os.Stat(filepath.Join(met, point)); err != nil; _, err = os.Stat(filepath.Join(met, point)) {
		if ctx.Err() != nil {
			t.Fatal("the promote was never logged")
		}
		time.Sleep(time.Millisecond)
	}
	target := targetOf(ctx, t, g)
	if err := lab.Site(target.Site).Kill(); err != nil {
		t.Fatal(err)
	}
	waits := func(st api.Status) bool {
		s, ok := st.Stream("S")
		return ok && s.Attempt != nil && s.Attempt.Waiting.Code == policy.TargetUnreachable
	}
	if _, err := g.WaitStatus(ctx, waits); err != nil {
		t.Fatal(err)
	}
	do(ctx, t, g, api.Request{Verb: api.VerbFailover, Stream: "S", Site: target.Site, Abandon: true, By: "test"})
	st, err := g.WaitStatus(ctx, one("S", api.StateFailedOver))
	if err != nil {
		t.Fatal(err)
	}
	s, _ := st.Stream("S")
	if s.Primary == target || s.Primary.Site == "east" || s.Epoch != 2 {
		t.Errorf("the primary is %s after epoch %d; %s was given up", s.Primary, s.Epoch, target)
	}
	if err := lab.Site(target.Site).Restart(ctx); err != nil {
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
	if st, err := g.WaitStatus(ctx, back); err != nil {
		s, _ := st.Stream("S")
		t.Fatalf("%v: %+v %+v", err, s.Reason, s.Members)
	}
	checkServers(ctx, t, lab, st)
}

// targetOf is the target of the failover that runs, asked of any watchdog that is left.
func targetOf(ctx context.Context, t *testing.T, g *grouplab.Group) policy.MemberID {
	t.Helper()
	for ctx.Err() == nil {
		for _, d := range g.Dogs {
			st, err := d.Client().Status(ctx)
			if s, ok := st.Stream("S"); err == nil && ok && s.Attempt != nil {
				return s.Attempt.Target
			}
		}
	}
	t.Fatal(fmt.Errorf("nobody knows of a failover: %w", ctx.Err()))
	return policy.MemberID{}
}
