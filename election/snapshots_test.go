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
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// eager makes a group take snapshots all the time.
func eager(o *Options) {
	o.SnapshotThreshold, o.SnapshotInterval, o.TrailingLogs = 8, 20*time.Millisecond, 1
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
