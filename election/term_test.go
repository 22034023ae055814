package election

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func others(g *group, not *member) []*member {
	return slices.DeleteFunc(slices.Clone(g.members), func(m *member) bool { return m == not })
}

// A leader that loses its peers stops before the next one begins, and what it could not commit is not lost silently.
func TestIsolatedLeaderStopsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, nw := newMemGroup(t, 3)
		g.start()
		old := g.leader()
		g.propose("a")
		nw.isolate(old.opts.ID, true)
		_, err := old.node.Propose(t.Context(), []byte("lost?"))
		if !errors.Is(err, ErrUnknown) {
			t.Errorf("propose without a majority: %v, want ErrUnknown", err)
		}
		within(t, 3*DefaultLease, "the old leader stops", func() bool { return !old.leading() })
		if slices.ContainsFunc(others(g, old), (*member).leading) {
			t.Error("another leads already")
		}
		if s := old.node.Status(); s.Quorum || s.State == "leader" {
			t.Errorf("isolated: %+v", s)
		}
		var next *member
		within(t, 5*time.Second, "another leads", func() bool {
			i := slices.IndexFunc(others(g, old), (*member).leading)
			if i >= 0 {
				next = others(g, old)[i]
			}
			return i >= 0
		})
		g.propose("b")
		nw.isolate(old.opts.ID, false)
		within(t, 10*time.Second, "the old leader follows", func() bool {
			return slices.Equal(old.fsm.all(), []string{"a", "b"})
		})
		if id, known := old.node.Leader(); !known || id != next.opts.ID {
			t.Errorf("the old leader follows %q", id)
		}
	})
}

// Isolation must not disturb the others when it ends: that is what pre-vote is for.
func TestIsolatedFollowerReturnsQuietly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, nw := newMemGroup(t, 3)
		g.start()
		l := g.leader()
		f := others(g, l)[0]
		nw.isolate(f.opts.ID, true)
		time.Sleep(30 * time.Second)
		if s := f.node.Status(); s.Quorum || s.Leader != "" || s.CommitAge < 20*time.Second {
			t.Errorf("isolated: %+v", s)
		}
		nw.isolate(f.opts.ID, false)
		time.Sleep(30 * time.Second)
		if got := l.led(); len(got) != 1 || !l.leading() {
			t.Errorf("the leader's terms: %v", got)
		}
		if s := f.node.Status(); !s.Quorum || s.CommitAge > 2*DefaultCommitEvery {
			t.Errorf("returned: %+v", s)
		}
	})
}

func TestNoFalseElections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := newMemGroup(t, 3)
		g.start()
		l := g.leader()
		for range 18 { // three minutes
			time.Sleep(10 * time.Second)
			for _, m := range g.members {
				if s := m.node.Status(); !s.Quorum || s.CommitAge > DefaultCommitEvery+time.Second || s.Leader != l.opts.ID {
					t.Fatalf("%+v", s)
				}
			}
		}
		if got := l.led(); len(got) != 1 {
			t.Errorf("terms: %v", got)
		}
	})
}

// The state machine holds everything that was committed before Lead is called.
func TestBarrierComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := newMemGroup(t, 3)
		const n = 100
		var short atomic.Int32
		for _, m := range g.members {
			m.slow = 20 * time.Millisecond
			m.lead = func(ctx context.Context, term Term) error {
				if held := len(m.fsm.all()); term.Number > 2 && held < n {
					short.Store(int32(n - held))
				}
				<-ctx.Done()
				return nil
			}
		}
		g.start()
		l := g.leader()
		done := make(chan error, n)
		for i := range n {
			go func() {
				_, err := l.node.Propose(t.Context(), fmt.Append(nil, i))
				done <- err
			}()
		}
		for range n {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		l.kill()
		g.leader()
		if short.Load() != 0 {
			t.Errorf("%d commands were missing when Lead was called", short.Load())
		}
	})
}

// The next term does not begin before the last one's work has returned, even if the node leads again meanwhile.
func TestLeadIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := newMemGroup(t, 3)
		release := make(chan struct{})
		for _, m := range g.members {
			m.lead = func(ctx context.Context, term Term) error {
				<-ctx.Done()
				if term.Number == 2 {
					<-release
				}
				return nil
			}
		}
		g.start()
		first := g.leader()
		if err := first.node.Transfer(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		var second *member
		within(t, time.Second, "another leads", func() bool {
			i := slices.IndexFunc(others(g, first), func(m *member) bool { return m.leading() && m.node.IsLeader() })
			if i >= 0 {
				second = others(g, first)[i]
			}
			return i >= 0
		})
		if err := second.node.Transfer(t.Context(), first.opts.ID); err != nil {
			t.Fatal(err)
		}
		within(t, time.Second, "the first leads again", first.node.IsLeader)
		time.Sleep(time.Second)
		if got := first.led(); len(got) != 1 {
			t.Errorf("terms begun: %v", got)
		}
		close(release)
		within(t, time.Second, "its next term begins", func() bool { return len(first.led()) == 2 })
		if got := first.led(); got[1] <= got[0] {
			t.Errorf("terms do not grow: %v", got)
		}
	})
}

// A node whose last work hangs cannot lead, so it passes leadership on.
func TestHangingLeadDoesNotBlockTheGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := newMemGroup(t, 3)
		release := make(chan struct{})
		defer close(release)
		g.start()
		first := g.leader()
		first.lead = func(context.Context, Term) error { <-release; return nil }
		hang := others(g, first)[0]
		hang.lead = first.lead
		if err := first.node.Transfer(t.Context(), hang.opts.ID); err != nil {
			t.Fatal(err)
		}
		within(t, time.Second, "the other leads", hang.leading)
		if err := hang.node.Transfer(t.Context(), first.opts.ID); err != nil { // its work goes on
			t.Fatal(err)
		}
		within(t, time.Second, "the first leads again", first.leading)
		if err := first.node.Transfer(t.Context(), hang.opts.ID); err != nil {
			t.Fatal(err)
		}
		within(t, time.Second, "the hanging one has raft's leadership", hang.node.IsLeader)
		third := others(g, first)[1]
		within(t, 30*time.Second, "one that can work leads", third.leading)
	})
}

func TestLeadThatReturnsPassesLeadershipOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := newMemGroup(t, 3)
		broken := g.members[0]
		broken.lead = func(context.Context, Term) error { return errors.New("no site reachable") }
		broken.start()
		g.members[1].start()
		g.members[2].start()
		l := g.leader()
		if l == broken {
			t.Fatal("the broken one leads")
		}
		if err := l.node.Transfer(t.Context(), broken.opts.ID); err != nil {
			t.Fatal(err)
		}
		within(t, time.Second, "the broken one led", func() bool { return len(broken.led()) > 0 })
		within(t, 3*time.Second, "another leads again", func() bool { return g.leader() != broken })
	})
}

func TestSingleNodeLeadsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := newMemGroup(t, 1)
		m := g.members[0]
		m.lead = func(context.Context, Term) error { return errors.New("broken") }
		m.start()
		within(t, 10*time.Second, "led three times", func() bool { return len(m.led()) == 3 })
		time.Sleep(20 * time.Minute)
		if n := len(m.led()); n > 50 || n < 35 { // twice a minute
			t.Errorf("led %d times in 20 minutes", n)
		}
	})
}

// A context of an older term works no more, even if its node leads again.
func TestContextsBelongToTheirTerm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := newMemGroup(t, 3)
		g.start()
		first := g.leader()
		leads := make(chan context.Context, 10)
		first.lead = func(ctx context.Context, _ Term) error {
			leads <- context.WithoutCancel(ctx)
			<-ctx.Done()
			return nil
		}
		second := others(g, first)[0]
		back := func(from, to *member) {
			t.Helper()
			if err := from.node.Transfer(t.Context(), to.opts.ID); err != nil {
				t.Fatal(err)
			}
			within(t, time.Second, "leadership moves", func() bool { return g.leader() == to })
		}
		back(first, second)
		back(second, first)
		old := <-leads
		if _, err := first.node.Propose(old, []byte("a")); err != nil {
			t.Errorf("propose in its own term: %v", err)
		}
		back(first, second)
		back(second, first)
		if _, err := first.node.Propose(old, []byte("b")); !errors.Is(err, ErrNotLeader) {
			t.Errorf("propose in a later term: %v, want ErrNotLeader", err)
		}
		if err := first.node.VerifyLeader(old); !errors.Is(err, ErrNotLeader) {
			t.Errorf("verify in a later term: %v, want ErrNotLeader", err)
		}
		if err := first.node.VerifyLeader(<-leads); err != nil {
			t.Errorf("verify in the term: %v", err)
		}
	})
}

func TestTransfer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := newMemGroup(t, 3)
		g.start()
		first := g.leader()
		to := others(g, first)[1]
		if err := to.node.Transfer(t.Context(), ""); !errors.Is(err, ErrNotLeader) {
			t.Errorf("a follower transfers: %v", err)
		}
		for _, bad := range []string{first.opts.ID, "wd-9"} {
			if err := first.node.Transfer(t.Context(), bad); err == nil || !first.node.IsLeader() {
				t.Errorf("transfer to %s: %v", bad, err)
			}
		}
		if err := first.node.Transfer(t.Context(), to.opts.ID); err != nil {
			t.Fatal(err)
		}
		within(t, time.Second, "the named one leads", func() bool { return g.leader() == to })
		first.kill()
		if err := to.node.Transfer(t.Context(), first.opts.ID); err == nil {
			t.Error("a dead peer took leadership")
		}
		// Raft may still be at the try that failed; and the dead one must not be picked.
		within(t, 5*time.Second, "leadership moves on", func() bool {
			l := g.leader()
			return l != nil && l.node.Transfer(t.Context(), "") == nil
		})
	})
}

// The orderly end hands leadership over: nobody has to wait for a timeout.
func TestOrderlyEndHandsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := newMemGroup(t, 3)
		g.start()
		l := g.leader()
		late := make(chan error, 1)
		l.lead = nil
		if err := l.end(); err != nil {
			t.Errorf("Run: %v", err)
		}
		close(late)
		took := within(t, time.Second, "another leads", func() bool {
			return slices.ContainsFunc(others(g, l), (*member).leading)
		})
		if took > DefaultHeartbeat {
			t.Errorf("took %v", took)
		}
	})
}

// While the work of the last term is being ended, it can still record what it did.
func TestLeaderMayProposeWhileItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := newMemGroup(t, 3)
		for _, m := range g.members {
			m.lead = func(ctx context.Context, _ Term) error {
				<-ctx.Done()
				if _, err := m.node.Propose(context.WithoutCancel(ctx), []byte("parked")); err != nil {
					t.Errorf("propose while ending: %v", err)
				}
				return nil
			}
		}
		g.start()
		l := g.leader()
		rest := others(g, l)
		for _, m := range rest {
			m.lead = nil
		}
		if err := l.end(); err != nil {
			t.Errorf("Run: %v", err)
		}
		within(t, time.Second, "recorded", func() bool { return slices.Equal(rest[0].fsm.all(), []string{"parked"}) })
	})
}

// How long a group is without a leader when its leader dies, with the default timeouts.
func TestElectionTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := newMemGroup(t, 3)
		g.start()
		var took []time.Duration
		for range 21 {
			l := g.leader()
			time.Sleep(2 * time.Second)
			l.kill()
			took = append(took, within(t, 10*time.Second, "another leads", func() bool {
				return slices.ContainsFunc(others(g, l), (*member).leading)
			}))
			l.start()
		}
		slices.Sort(took)
		median := took[len(took)/2]
		t.Logf("median %v, from %v to %v", median, took[0], took[len(took)-1])
		if median > 2*(DefaultHeartbeat+DefaultElection) {
			t.Errorf("median = %v", median)
		}
	})
}
