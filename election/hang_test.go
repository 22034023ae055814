package election

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// hungDisk makes a store's writes wait while it hangs: they neither fail nor return.
type hungDisk struct {
	records
	mu   sync.Mutex
	free chan struct{} // nil: it does not hang
}

func (d *hungDisk) hang() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.free = make(chan struct{})
}

func (d *hungDisk) release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	close(d.free)
	d.free = nil
}

func (d *hungDisk) wait() {
	d.mu.Lock()
	free := d.free
	d.mu.Unlock()
	if free != nil {
		<-free
	}
}

func (d *hungDisk) StoreLogs(entries []*raft.Log) error {
	d.wait()
	return d.records.StoreLogs(entries)
}

func (d *hungDisk) Set(key, value []byte) error {
	d.wait()
	return d.records.Set(key, value)
}

// canHang puts a hungDisk under every member of a group.
func canHang(g *group) map[*member]*hungDisk {
	disks := map[*member]*hungDisk{}
	for _, m := range g.members {
		d := new(hungDisk)
		disks[m] = d
		before := m.handle
		m.handle = func(n *Node) {
			before(n)
			d.records = n.store.bolt
			n.store.bolt = d
		}
	}
	return disks
}

// hangLimitOfLeader is how late a hanging disk may be noticed: by the next empty entry, unless a proposal comes first.
const hangLimitOfLeader = DefaultCommitEvery + DefaultStallAfter*DefaultElection + 5*time.Second

// A leader whose disk hangs goes on with its heartbeats; it must not lead for ever.
func TestHungDiskPassesLeadershipOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := newMemGroup(t, 3)
		disks := canHang(g)
		g.start()
		l := g.leader()
		disks[l].hang()
		within(t, hangLimitOfLeader, "the leader stops", func() bool { return !l.leading() })
		if slices.ContainsFunc(others(g, l), (*member).leading) {
			t.Error("another leads already")
		}
		within(t, 5*time.Second, "another leads and commits", func() bool {
			i := slices.IndexFunc(others(g, l), (*member).leading)
			if i < 0 {
				return false
			}
			_, err := others(g, l)[i].node.Propose(t.Context(), []byte("x"))
			return err == nil
		})
		if s := l.node.Status(); s.Quorum || !strings.Contains(s.WriteError, errHangs.Error()) {
			t.Errorf("the node with the hung disk: %+v", s)
		}
		disks[l].release()
		within(t, 10*time.Second, "it follows", func() bool { return slices.Equal(l.fsm.all(), []string{"x"}) })
		within(t, time.Second, "it says so", func() bool { s := l.node.Status(); return s.Quorum && s.WriteError == "" })
	})
}

// With nobody who could take over, nothing is decided, and nobody says that there is a quorum.
func TestHungDiskWithoutSuccessor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := newMemGroup(t, 3)
		disks := canHang(g)
		g.start()
		l := g.leader()
		for _, d := range disks {
			d.hang()
		}
		within(t, 2*hangLimitOfLeader, "no quorum anywhere", func() bool {
			return !slices.ContainsFunc(g.members, func(m *member) bool { return m.leading() || m.node.Status().Quorum })
		})
		for _, d := range disks {
			d.release()
		}
		within(t, 20*time.Second, "the group works again", func() bool {
			_, err := g.leader().node.Propose(t.Context(), []byte("y"))
			return err == nil && !isClosed(l.node.stream.bars())
		})
	})
}

// A node whose disk hangs for good ends, and says which one.
func TestHungDiskEndsTheNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := newMemGroup(t, 3)
		disks := canHang(g)
		g.start()
		l := g.leader()
		n, ended := l.node, l.err
		disks[l].hang()
		var err error
		within(t, hangLimitOfLeader+hangLimit+shutdownTimeout, "it ends", func() bool {
			select {
			case err = <-ended:
				ended <- nil // for kill
				return true
			default:
				return false
			}
		})
		if !errors.Is(err, errHangs) || !strings.Contains(err.Error(), n.store.path) {
			t.Errorf("ended with %v", err)
		}
		disks[l].release()
	})
}

// hungMachine is a state machine whose Apply waits while its disk hangs.
type hungMachine struct {
	StateMachine
	hungDisk
}

func (m *hungMachine) Apply(index uint64, data []byte) any {
	m.wait()
	return m.StateMachine.Apply(index, data)
}

// A raft that hangs elsewhere than in its store, here behind a state machine that takes nothing more, is not asked for
// its leadership for ever.
func TestHungRaftIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := newMemGroup(t, 3)
		machines := map[*member]*hungMachine{}
		for _, m := range g.members {
			before := m.handle
			m.handle = func(n *Node) {
				before(n)
				machines[m] = &hungMachine{StateMachine: n.fsm.machine}
				n.fsm.machine = machines[m]
			}
		}
		g.start()
		l := g.leader()
		machines[l].hang()
		for range 200 { // more than raft queues for the state machine
			go l.node.Propose(t.Context(), []byte("x"))
			time.Sleep(10 * time.Millisecond)
		}
		within(t, 2*hangLimitOfLeader, "another leads", func() bool {
			return !l.leading() && slices.ContainsFunc(others(g, l), (*member).leading)
		})
		machines[l].release()
		within(t, 20*time.Second, "it follows", func() bool {
			s := l.node.Status()
			return s.State == "follower" && s.Quorum
		})
	})
}
