package election

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestProposeIsReplicated(t *testing.T) {
	for _, n := range []int{1, 3, 5} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			g := newGroup(t, n, nil)
			g.start()
			l := g.leader()
			if got := propose(t, l, "a"); got != 1 {
				t.Errorf("result = %v, want 1", got)
			}
			propose(t, l, "b")
			for _, m := range g.members {
				eventually(t, "applied everywhere", func() bool { return slices.Equal(m.fsm.all(), []string{"a", "b"}) })
			}
			if err := l.node.VerifyLeader(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestFollowerRefusesProposals(t *testing.T) {
	g := newGroup(t, 3, nil)
	g.start()
	l := g.leader()
	for _, m := range g.members {
		if m == l {
			continue
		}
		if _, err := m.node.Propose(context.Background(), []byte("x")); !errors.Is(err, ErrNotLeader) {
			t.Errorf("propose at a follower: %v, want ErrNotLeader", err)
		}
		eventually(t, "the follower knows its leader", func() bool {
			id, known := m.node.Leader()
			return known && id == l.opts.ID
		})
	}
}

func TestKilledLeaderIsReplaced(t *testing.T) {
	g := newGroup(t, 3, nil)
	g.start()
	first := g.leader()
	propose(t, first, "a")
	first.kill()
	next := g.leader()
	if got := next.fsm.all(); !slices.Equal(got, []string{"a"}) {
		t.Errorf("the next leader holds %q", got)
	}
	propose(t, next, "b")
	first.start()
	eventually(t, "the old leader catches up", func() bool { return slices.Equal(first.fsm.all(), []string{"a", "b"}) })
}
