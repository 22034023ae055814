package election

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

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
	if _, err := tryStore(other); !errors.Is(err, ErrOtherStore) || !strings.Contains(err.Error(), `is the store of node "a", this is "b"`) {
		t.Errorf("another node: %v", err)
	}
	other = o
	other.Peers = []Peer{{"a", "127.0.0.1:1"}, {"b", "127.0.0.1:2"}, {"d", "127.0.0.1:4"}}
	if _, err := tryStore(other); !errors.Is(err, ErrOtherStore) || !strings.Contains(err.Error(), `group of peers ["a" "b" "c"], configured are ["a" "b" "d"]`) {
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
