package election

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// fill makes a member's disk full, or not, from when it is started.
func (m *member) fill() *atomic.Bool {
	full := new(atomic.Bool)
	before := m.handle
	m.handle = func(n *Node) {
		if before != nil {
			before(n)
		}
		n.store.bolt = &fullDisk{records: n.store.bolt, full: full.Load}
	}
	return full
}

// A leader that reaches its peers but cannot commit steps down, and says so.
func TestStalledLeaderStepsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := newMemGroup(t, 3)
		full := map[*member]*atomic.Bool{}
		for _, m := range g.members {
			full[m] = m.fill()
		}
		g.start()
		l := g.leader()
		for _, m := range others(g, l) {
			full[m].Store(true)
		}
		limit := DefaultCommitEvery + DefaultStallAfter*DefaultElection
		took := within(t, limit+2*time.Second, "the leader stops", func() bool { return !l.leading() })
		if took < DefaultStallAfter*DefaultElection {
			t.Errorf("stopped after %v already", took)
		}
		s := l.node.Status()
		if s.CommitAge < DefaultStallAfter*DefaultElection {
			t.Errorf("commit age is %v", s.CommitAge)
		}
		if f := others(g, l)[0].node.Status(); !strings.Contains(f.WriteError, errNoSpace.Error()) {
			t.Errorf("a full follower's write error: %q", f.WriteError)
		}
		for _, m := range others(g, l) {
			full[m].Store(false)
		}
		within(t, 20*time.Second, "the group works again", func() bool {
			_, err := g.leader().node.Propose(t.Context(), []byte("x"))
			return err == nil
		})
	})
}

// A node with a full disk does not stay the leader, and does not end: it is still worth something as an observer.
func TestFullDiskPassesLeadershipOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := newMemGroup(t, 3)
		full := map[*member]*atomic.Bool{}
		for _, m := range g.members {
			full[m] = m.fill()
		}
		g.start()
		l := g.leader()
		full[l].Store(true)
		if _, err := l.node.Propose(t.Context(), []byte("x")); !errors.Is(err, ErrUnknown) {
			t.Errorf("propose: %v", err)
		}
		within(t, 10*time.Second, "another leads and commits", func() bool {
			next := g.leader()
			if next == l {
				return false
			}
			_, err := next.node.Propose(t.Context(), []byte("y"))
			return err == nil
		})
		time.Sleep(time.Minute)
		if s := l.node.Status(); s.WriteError == "" || s.CommitAge < 30*time.Second {
			t.Errorf("with a full disk: %+v", s)
		}
		full[l].Store(false)
		within(t, 10*time.Second, "it catches up", func() bool { return len(l.fsm.all()) >= 1 && l.node.Status().WriteError == "" })
	})
}

func TestStatusOfAStoppedNode(t *testing.T) {
	g := newGroup(t, 1, nil)
	m := g.members[0]
	if err := m.open(); err != nil {
		t.Fatal(err)
	}
	n := m.node
	check := func(when string) {
		t.Helper()
		s := n.Status()
		if s.State != "stopped" || s.Quorum || s.Contact != Never || n.IsLeader() {
			t.Errorf("%s: %+v", when, s)
		}
		if _, err := n.Propose(t.Context(), nil); !errors.Is(err, ErrNotRunning) {
			t.Errorf("%s: propose: %v", when, err)
		}
		if err := n.VerifyLeader(t.Context()); !errors.Is(err, ErrNotRunning) {
			t.Errorf("%s: verify: %v", when, err)
		}
	}
	check("before Run")
	m.run()
	g.leader()
	if s := n.Status(); s.State != "leader" || !s.Quorum || s.Term < 2 || s.CommitAge > time.Minute || s.Leader != "wd-1" {
		t.Errorf("leading: %+v", s)
	}
	if err := m.end(); err != nil {
		t.Error(err)
	}
	check("after Run")
	if err := n.Run(t.Context(), nil); err == nil {
		t.Error("a node ran twice")
	}
}
