package election

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc64"
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

// eager makes a group take snapshots all the time.
func eager(o *Options) {
	o.SnapshotThreshold, o.SnapshotInterval, o.TrailingLogs = 8, 20*time.Millisecond, 1
}

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

// waitSnapshot waits for a snapshot of a member and returns its folder.
func waitSnapshot(t *testing.T, m *member) string {
	t.Helper()
	var dirs []string
	eventually(t, "a snapshot", func() bool {
		dirs, _ = filepath.Glob(filepath.Join(m.opts.DataDir, "snapshots", "*-*-*"))
		dirs = slices.DeleteFunc(dirs, func(d string) bool { return strings.HasSuffix(d, ".tmp") })
		return len(dirs) > 0
	})
	return dirs[len(dirs)-1]
}

func TestSnapshotRestoreAndDamage(t *testing.T) {
	g := newGroup(t, 1, eager)
	m := g.members[0]
	m.start()
	g.leader()
	var want []string
	for i := range 40 {
		want = append(want, fmt.Sprintf("command %d", i))
		g.propose(want[i])
	}
	waitSnapshot(t, m)
	m.kill()
	m.start()
	g.leader()
	if got := m.fsm.all(); !slices.Equal(got, want) {
		t.Errorf("restored: %q", got)
	}
	m.kill()
	dir := waitSnapshot(t, m)
	state, good := filepath.Join(dir, "state.bin"), readFile(t, filepath.Join(dir, "state.bin"))

	flip(t, state, "command 1")
	refuses(t, m, ErrDamaged, dir, "move the data directory away")

	rewriteSnapshot(t, dir, withVersion(good, 2))
	refuses(t, m, ErrVersion, dir, "run a program at least as new")

	rewriteSnapshot(t, dir, append(bytes.Clone(good), 'x')) // raft's checksum is right, the envelope is not
	refuses(t, m, ErrDamaged, dir)

	rewriteSnapshot(t, dir, good)
	meta := readFile(t, filepath.Join(dir, "meta.json"))
	writeFile(t, filepath.Join(dir, "meta.json"), []byte("{"))
	refuses(t, m, ErrDamaged, dir)

	if err := os.Rename(dir, dir+".gone"); err != nil {
		t.Fatal(err)
	}
	refuses(t, m, ErrDamaged, "is missing") // the entries that the snapshot stood for

	if err := os.Rename(dir+".gone", dir); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "meta.json"), meta)
	m.start()
	g.leader()
}

// rewriteSnapshot replaces a snapshot's state and makes raft's own checksum right again.
func rewriteSnapshot(t *testing.T, dir string, state []byte) {
	t.Helper()
	writeFile(t, filepath.Join(dir, "state.bin"), state)
	var meta map[string]any
	if err := json.Unmarshal(readFile(t, filepath.Join(dir, "meta.json")), &meta); err != nil {
		t.Fatal(err)
	}
	sum := crc64.New(crc64.MakeTable(crc64.ECMA))
	sum.Write(state)
	meta["CRC"] = sum.Sum(nil)
	b, err := json.Marshal(meta)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "meta.json"), b)
}

// A node that comes back empty gets a snapshot from the leader, over plain TCP and over TLS.
func TestSnapshotIsInstalled(t *testing.T) {
	ca := newAuthority(t)
	for name, tune := range map[string]func(*Options){
		"plain": eager,
		"tls":   func(o *Options) { eager(o); o.TLS = ca.issue(o.ID, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			g := newGroup(t, 3, tune)
			g.start()
			late := others(g, g.leader())[0]
			late.kill()
			var l *member
			big := strings.Repeat("x", 1<<15)
			for i := range 12 {
				l = g.propose(fmt.Sprint(i, big))
			}
			waitSnapshot(t, l)
			if err := os.RemoveAll(late.opts.DataDir); err != nil {
				t.Fatal(err)
			}
			late.start()
			eventually(t, "it catches up", func() bool { return slices.Equal(late.fsm.all(), l.fsm.all()) })
			if waitSnapshot(t, late) == "" {
				t.Error("no snapshot was stored")
			}
		})
	}
}

// What another program's leader sends is not stored in place of what this program can read.
func TestReceivedSnapshotIsCheckedBeforeItIsStored(t *testing.T) {
	good := seal(kindSnapshot, []byte("state"))
	for name, c := range map[string]struct {
		b     []byte
		want  error
		fatal bool
	}{
		"good":    {good, nil, false},
		"newer":   {withVersion(good, 2), ErrVersion, true},
		"damaged": {append(bytes.Clone(good[:len(good)-1]), '?'), ErrDamaged, false}, // the leader sends it again
	} {
		t.Run(name, func(t *testing.T) {
			var fatal error
			s, err := openSnapshots(t.TempDir(), quiet, func(err error) { fatal = err })
			if err != nil {
				t.Fatal(err)
			}
			_, trans := raft.NewInmemTransport("a")
			sink, err := s.Create(1, 5, 2, raft.Configuration{}, 1, trans)
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range c.b {
				if _, err := sink.Write([]byte{b}); err != nil {
					t.Fatal(err)
				}
			}
			if err := sink.Close(); !errors.Is(err, c.want) {
				t.Errorf("close: %v, want %v", err, c.want)
			}
			if stored, _ := s.List(); (len(stored) == 1) != (c.want == nil) {
				t.Errorf("%d stored", len(stored))
			}
			if (fatal != nil) != c.fatal {
				t.Errorf("fatal: %v", fatal)
			}
		})
	}
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

// Stores that are whole, but not this node's.
func TestForeignStoresAreRefused(t *testing.T) {
	peers := []Peer{{"a", "127.0.0.1:1"}, {"b", "127.0.0.1:2"}, {"c", "127.0.0.1:3"}}
	o := Options{ID: "a", Peers: peers, DataDir: t.TempDir(), Log: quiet}.withDefaults()
	s := openTestStore(t, o)

	_, err := tryStore(o)
	if err == nil || !strings.Contains(err.Error(), "used by another process") {
		t.Errorf("opened twice: %v", err)
	}
	s.close()

	other := o
	other.ID = "b"
	if _, err := tryStore(other); err == nil || !strings.Contains(err.Error(), `is the store of node "a", this is "b"`) {
		t.Errorf("another node: %v", err)
	}
	other = o
	other.Peers = []Peer{{"a", "127.0.0.1:1"}, {"b", "127.0.0.1:2"}, {"d", "127.0.0.1:4"}}
	if _, err := tryStore(other); err == nil || !strings.Contains(err.Error(), `group of peers ["a" "b" "c"], configured are ["a" "b" "d"]`) {
		t.Errorf("another group: %v", err)
	}
	other = o
	other.Peers = []Peer{{"c", "10.0.0.3:1"}, {"a", "10.0.0.1:1"}, {"b", "10.0.0.2:1"}} // other addresses are fine
	s, err = tryStore(other)
	if err != nil {
		t.Fatal(err)
	}
	s.close()
}

// A crash between the writes of the first start leaves something that the next start completes.
func TestBootstrapIsCompleted(t *testing.T) {
	o := Options{ID: "a", Peers: []Peer{{"a", "127.0.0.1:1"}}, DataDir: t.TempDir(), Log: quiet}.withDefaults()
	s, err := openStore(o.DataDir, quiet, func(error) {})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.put(keyNode, []byte("a")), s.setTerm(1)); err != nil {
		t.Fatal(err)
	}
	s.close()
	s = openTestStore(t, o)
	defer s.close()
	if last, err := s.LastIndex(); last != 1 || err != nil {
		t.Errorf("last index = %d, %v, want 1", last, err)
	}
}

// Raft's two keys of a vote reach the disk together or not at all.
func TestVoteIsWhole(t *testing.T) {
	o := stopped(t, 1)
	s := openTestStore(t, o)
	if err := s.SetUint64(keyLastVoteTerm, 9); err != nil {
		t.Fatal(err)
	}
	s.close() // a crash before the candidate
	s = openTestStore(t, o)
	defer s.close()
	term, err := s.GetUint64(keyLastVoteTerm)
	cand, err2 := s.Get(keyLastVoteCand)
	if term != 2 || string(cand) != "a" || err != nil || err2 != nil {
		t.Errorf("vote = %d, %q, %v, %v, want the one before", term, cand, err, err2)
	}
}

// A term that cannot be saved is waited for: raft would end the process.
func TestTermWaitsForTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := stopped(t, 1)
		s := openTestStore(t, o)
		defer s.close()
		start := time.Now()
		s.bolt = &fullDisk{records: s.bolt, full: func() bool { return time.Since(start) < time.Minute }}
		s.running.Store(true)
		if err := s.SetUint64(keyCurrentTerm, 7); err != nil {
			t.Error(err)
		}
		if got := time.Since(start); got < time.Minute || got > time.Minute+retryEvery {
			t.Errorf("took %v", got)
		}
		if term, err := s.GetUint64(keyCurrentTerm); term != 7 || err != nil {
			t.Errorf("term = %d, %v", term, err)
		}
	})
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
