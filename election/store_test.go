package election

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// quiet is the logger of tests whose lines nobody wants to read.
var quiet = slog.New(slog.DiscardHandler)

// stopped makes a node's store with a log of n commands, and returns its options.
func stopped(t testing.TB, n int) Options {
	t.Helper()
	o := Options{ID: "a", Peers: []Peer{{"a", "127.0.0.1:1"}}, DataDir: t.TempDir(), FSM: &journal{}, Log: quiet}
	o = o.withDefaults()
	s := openTestStore(t, o)
	defer s.close()
	for i := range n {
		data := seal(kindCommand, fmt.Appendf(nil, "command-%04d-%s", i, strings.Repeat("x", 100)))
		e := &raft.Log{Index: uint64(i + 2), Term: 2, Type: raft.LogCommand, Data: data}
		if err := errors.Join(s.setTerm(2), s.StoreLog(e)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(s.SetUint64(keyLastVoteTerm, 2), s.Set(keyLastVoteCand, []byte("a"))); err != nil {
		t.Fatal(err)
	}
	return o
}

// tryStore opens and verifies a store as Open does.
func tryStore(o Options) (*store, error) {
	n := &Node{opts: o, log: o.Log, fatal: newLatch()}
	err := n.openStores()
	return n.store, err
}

func openTestStore(t testing.TB, o Options) *store {
	t.Helper()
	s, err := tryStore(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// contents describes all that raft would read from a store.
func contents(s *store) string {
	var b strings.Builder
	first, err1 := s.FirstIndex()
	last, err2 := s.LastIndex()
	term, err3 := s.GetUint64(keyCurrentTerm)
	voteTerm, cand, err4 := s.vote()
	fmt.Fprintln(&b, first, last, term, voteTerm, string(cand), err1, err2, err3, err4)
	for i := first; i <= last; i++ {
		var e raft.Log
		err := s.GetLog(i, &e)
		fmt.Fprintf(&b, "%d %d %d %q %v\n", e.Index, e.Term, e.Type, e.Data, err)
	}
	return b.String()
}

// Every byte that means something is covered: a store with one flipped bit is refused, or holds what it held.
func TestFlippedBitsAreFound(t *testing.T) {
	o := stopped(t, 40)
	healthy := readFile(t, filepath.Join(o.DataDir, storeFile))
	s := openTestStore(t, o)
	want := contents(s)
	s.close()
	rnd := rand.New(rand.NewSource(time.Now().UnixNano()))
	refused := 0
	for try, tries := 0, flips(); try < tries; {
		at := rnd.Intn(len(healthy))
		if block := healthy[at&^63:][:64]; len(bytes.Trim(block, "\x00")) == 0 {
			continue // never written
		}
		try++
		bad := bytes.Clone(healthy)
		bad[at] ^= 1 << rnd.Intn(8)
		dir := t.TempDir()
		o.DataDir = dir
		writeFile(t, filepath.Join(dir, storeFile), bad)
		s, err := tryStore(o)
		if err != nil {
			refused++
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), dir) {
				t.Errorf("byte %d: %v", at, err)
			}
			continue
		}
		if got := contents(s); got != want {
			t.Errorf("byte %d of page %d: silently different: %.500s", at%4096, at/4096, got)
		}
		s.close()
	}
	t.Logf("refused %d", refused)
}

// flips is how many flipped bits a test tries; $ELECTION_FLIPS raises it.
func flips() int {
	if n, err := strconv.Atoi(os.Getenv("ELECTION_FLIPS")); err == nil {
		return n
	}
	return 100
}

// Whatever bolt does to its file, a healthy one is never refused.
func TestHealthyPagesPass(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, storeFile)
	s, err := openStore(dir, quiet, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	rnd := rand.New(rand.NewSource(time.Now().UnixNano()))
	low, high := uint64(1), uint64(0)
	for i := range 300 {
		switch op := rnd.Intn(10); {
		case op < 6:
			var batch []*raft.Log
			for range 1 + rnd.Intn(16) {
				high++
				batch = append(batch, &raft.Log{Index: high, Data: make([]byte, rnd.Intn(1<<rnd.Intn(15)))})
			}
			err = s.StoreLogs(batch)
		case op < 8:
			err = errors.Join(s.SetUint64(keyLastVoteTerm, uint64(i)), s.Set(keyLastVoteCand, []byte("x")))
		case op < 9 && low < high: // a snapshot
			next := low + uint64(rnd.Int63n(int64(high-low)))
			err = s.DeleteRange(low, next-1)
			low = next
		case low < high: // a conflict
			next := high - uint64(rnd.Int63n(int64(min(high-low, 20))))
			err = s.DeleteRange(next, high)
			high = next - 1
		}
		if err != nil {
			t.Fatal(err)
		}
		indexes, err := checkPages(path)
		if err != nil {
			t.Fatalf("after %d operations: %v", i, err)
		}
		if want := int(high + 1 - low); len(indexes) != want || want > 0 && (indexes[0] != low || indexes[want-1] != high) {
			t.Fatalf("after %d operations: %d entries, want %d to %d", i, len(indexes), low, high)
		}
	}
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeFile(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
