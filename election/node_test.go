package election

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestProposeIsReplicated(t *testing.T) {
	for _, n := range []int{1, 3, 5} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			g := newGroup(t, n, nil)
			g.start()
			g.propose("a")
			l := g.propose("b")
			got, err := l.node.Propose(t.Context(), []byte("b"))
			if got != 2 && !errors.Is(err, ErrNotLeader) && !errors.Is(err, ErrUnknown) {
				t.Errorf("result = %v, %v, want 2", got, err)
			}
			for _, m := range g.members {
				eventually(t, "applied everywhere", func() bool { return slices.Equal(m.fsm.all(), []string{"a", "b"}) })
			}
			eventually(t, "the leader is verified", func() bool { return g.leader().node.VerifyLeader(t.Context()) == nil })
		})
	}
}

func TestFollowerRefusesProposals(t *testing.T) {
	g := newGroup(t, 3, nil)
	g.start()
	l := g.leader()
	for _, m := range others(g, l) {
		eventually(t, "the follower knows its leader", func() bool {
			id, known := m.node.Leader()
			return known && id != ""
		})
		if _, err := m.node.Propose(t.Context(), []byte("x")); err != nil && !errors.Is(err, ErrNotLeader) {
			t.Errorf("propose at a follower: %v, want ErrNotLeader", err)
		}
	}
}

func TestKilledLeaderIsReplaced(t *testing.T) {
	g := newGroup(t, 3, nil)
	g.start()
	first := g.propose("a")
	first.kill()
	next := g.leader()
	if got := next.fsm.all(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("the next leader holds %q", got)
	}
	g.propose("b")
	first.start()
	eventually(t, "the old leader catches up", func() bool { return slices.Equal(first.fsm.all(), []string{"a", "b"}) })
}

// Members are killed and started again and again under load. Whatever was acknowledged stays, in one order everywhere,
// and no two of them ever lead the same term.
func TestChurn(t *testing.T) {
	for _, size := range []int{3, 5} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			g := newGroup(t, size, func(o *Options) { o.SnapshotThreshold, o.SnapshotInterval, o.TrailingLogs = 16, 50*time.Millisecond, 4 })
			g.start()
			var acked []string
			for round := range 4 {
				victim := g.leader()
				if round%2 == 1 {
					victim = others(g, victim)[0]
				}
				for i := range 10 {
					cmd := fmt.Sprintf("%d-%d", round, i)
					g.propose(cmd)
					acked = append(acked, cmd)
					if i == 5 {
						victim.kill()
					}
				}
				victim.start()
			}
			leaders := map[uint64]string{}
			for _, m := range g.members {
				eventually(t, "everything is everywhere", func() bool { return slices.Equal(m.fsm.all(), acked) })
				for i, term := range m.led() {
					if other, ok := leaders[term]; ok && other != m.opts.ID {
						t.Errorf("%s and %s both led term %d", other, m.opts.ID, term)
					}
					leaders[term] = m.opts.ID
					if i > 0 && m.led()[i-1] >= term {
						t.Errorf("%s led the terms %v", m.opts.ID, m.led())
					}
				}
			}
		})
	}
}

// Raft keeps idle connections; one to a peer that restarted must not cost an election its vote.
func TestDeadConnectionIsReplaced(t *testing.T) {
	g := newGroup(t, 3, nil)
	m := g.members[0]
	m.start()
	s := newStream(strangerPort(t, g.members[1].opts, nil))
	defer s.abort()
	conn, err := s.Dial("wd-1", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	first := conn.LocalAddr().String()
	c := conn.(*dialedConn)
	idle := func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.used = time.Now().Add(-time.Hour)
	}
	write := func() error {
		_, err := conn.Write([]byte{9}) // an unknown request: the peer ends the connection
		return err
	}
	idle()
	if err := write(); err != nil || conn.LocalAddr().String() != first {
		t.Errorf("a live connection: %v, from %s, was %s", err, conn.LocalAddr(), first)
	}
	eventually(t, "the peer ends it", func() bool { return !alive(c.current()) })
	idle()
	if err := write(); err != nil || conn.LocalAddr().String() == first {
		t.Errorf("a dead connection was not replaced: %v", err)
	}
	m.kill()
	eventually(t, "the peer is gone", func() bool { return !alive(c.current()) })
	idle()
	if err := write(); err == nil {
		t.Error("a write to a dead peer succeeded")
	}
}
