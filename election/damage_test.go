package election

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// flip changes every occurrence of marker in a file.
func flip(t *testing.T, path, marker string) {
	t.Helper()
	b := readFile(t, path)
	if !bytes.Contains(b, []byte(marker)) {
		t.Fatalf("%s does not hold %q", path, marker)
	}
	bad := []byte(marker)
	bad[len(bad)/2] ^= 1
	writeFile(t, path, bytes.ReplaceAll(b, []byte(marker), bad))
}

// refuses checks that a member does not start, and says why.
func refuses(t *testing.T, m *member, kind error, texts ...string) {
	t.Helper()
	err := m.open()
	if err == nil {
		t.Fatal("it starts")
	}
	if kind != nil && !errors.Is(err, kind) {
		t.Errorf("error is not %q: %v", kind, err)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error does not say %q: %v", text, err)
		}
	}
}

func TestDamagedLogRefusesToStart(t *testing.T) {
	g := newGroup(t, 3, nil)
	g.start()
	g.propose("marked command")
	m := others(g, g.leader())[0]
	eventually(t, "applied", func() bool { return len(m.fsm.all()) == 1 })
	m.kill()
	path := filepath.Join(m.opts.DataDir, storeFile)
	flip(t, path, "marked command")
	refuses(t, m, ErrDamaged, path, "log entry", "move the data directory away", "never remove the stores of a majority")

	if err := os.Rename(m.opts.DataDir, m.opts.DataDir+".damaged"); err != nil { // the remedy
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(m.opts.DataDir + ".damaged") })
	m.start()
	eventually(t, "it rejoins", func() bool { return slices.Equal(m.fsm.all(), []string{"marked command"}) })
}

// Damage that is met while raft runs stops the node with the same explanation; raft alone would end the process.
func TestDamageWhileRunningStopsTheNode(t *testing.T) {
	g := newGroup(t, 3, nil)
	g.start()
	late := others(g, g.leader())[0]
	late.kill()
	l := g.propose("marked command")
	path := filepath.Join(l.opts.DataDir, storeFile)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for b, at := readFile(t, path), 0; ; {
		i := bytes.Index(b[at:], []byte("marked command"))
		if i < 0 {
			break
		}
		at += i + 1
		if _, err := f.WriteAt([]byte{'?'}, int64(at)); err != nil {
			t.Fatal(err)
		}
	}
	late.start() // the leader reads the entry again to send it
	eventually(t, "the damaged one ends", func() bool {
		select {
		case err = <-l.err:
			return true
		default:
		}
		if leader := g.leader(); leader != l {
			_ = leader.node.Transfer(t.Context(), l.opts.ID)
		}
		return false
	})
	if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), path) {
		t.Errorf("Run: %v", err)
	}
	l.node, l.err = nil, nil
	eventually(t, "the others go on", func() bool { return slices.ContainsFunc(others(g, l), (*member).leading) })
}

// A committed entry that cannot be opened stops the node, then and at every later start.
func TestBadEntryStopsTheNode(t *testing.T) {
	good := seal(kindCommand, []byte("x"))
	for name, c := range map[string]struct {
		entry []byte
		want  error
		text  string
	}{
		"no envelope":   {[]byte("bare"), ErrDamaged, "move the data directory away"},
		"newer version": {withVersion(good, 2), ErrVersion, "run a program at least as new"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGroup(t, 1, nil)
			m := g.members[0]
			m.start()
			g.leader()
			index := m.node.Status().LastIndex + 1
			m.node.raft.Load().Apply(c.entry, time.Second)
			err := <-m.err
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), fmt.Sprintf("log entry %d ", index)) {
				t.Errorf("Run: %v", err)
			}
			m.node, m.err = nil, nil
			refuses(t, m, c.want, fmt.Sprintf("log entry %d", index), c.text)
			if len(m.fsm.all()) != 0 {
				t.Error("something was applied")
			}
		})
	}
}

func TestPanickingStateMachineStopsTheNode(t *testing.T) {
	g := newGroup(t, 1, nil)
	m := g.members[0]
	m.start()
	g.leader()
	if _, err := m.node.Propose(t.Context(), []byte("panic")); !errors.Is(err, ErrUnknown) {
		t.Errorf("propose: %v, want ErrUnknown", err)
	}
	err := <-m.err
	m.node, m.err = nil, nil
	if err == nil || !strings.Contains(err.Error(), "panicked: told to") || !strings.Contains(err.Error(), "cluster_test.go") {
		t.Errorf("Run: %v", err)
	}
}

// rotten is a disk that gives back something else than was written.
type rotten struct {
	records
	on atomic.Bool
}

func (d *rotten) GetLog(index uint64, e *raft.Log) error {
	err := d.records.GetLog(index, e)
	if d.on.Load() && len(e.Data) > 0 {
		e.Data[len(e.Data)-1] ^= 1
	}
	return err
}

// A follower that reads a damaged entry to apply it stops with an explanation; raft alone would end the process.
func TestDamageWhileApplyingStopsTheNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := newMemGroup(t, 3)
		disks := map[*member]*rotten{}
		for _, m := range g.members {
			before := m.handle
			m.handle = func(n *Node) {
				before(n)
				disks[m] = &rotten{records: n.store.bolt}
				n.store.bolt = disks[m]
			}
		}
		g.start()
		m := others(g, g.leader())[0]
		disks[m].on.Store(true)
		g.propose("a")
		if err := <-m.err; !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), m.opts.DataDir) {
			t.Errorf("Run: %v", err)
		}
		if got := m.fsm.all(); len(got) != 0 {
			t.Errorf("applied: %q", got)
		}
		m.node, m.err = nil, nil
		g.propose("b")
	})
}
