package probe_test

import (
	"testing"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/natslab"
)

func TestSharedMetaIsLookedAtThroughOtherSites(t *testing.T) {
	t.Parallel()
	r := start(t, natslab.Supercluster, 1, 1)
	if m := member(r.look(), origin); len(m.Looks) != 1 {
		t.Errorf("healthy: got %+v, want the own path only", m.Looks)
	}
	r.must(r.lab.CutPair(office, "east", natslab.Refuse))
	rep := r.until("the origin is seen through the other sites", func(rep policy.Report) bool {
		m := member(rep, origin)
		return has(m, "east", policy.Disconnected) && has(m, "west", policy.Answered) && has(m, "eu", policy.Answered)
	})
	if age := member(rep, origin).Last.Age; age > timeout {
		t.Errorf("the answer through another site was not remembered: age %v", age)
	}
	r.must(r.lab.CutPair(office, "eu", natslab.Refuse))
	r.until("a path that cannot be reached itself is left out", func(rep policy.Report) bool {
		m := member(rep, origin)
		_, through := through(m, "eu")
		return !through && has(m, "west", policy.Answered)
	})
}

func TestSharedMetaCrashed(t *testing.T) {
	t.Parallel()
	r := start(t, natslab.Supercluster, 1, 1)
	r.publish(3)
	r.until("stored", func(rep policy.Report) bool { return member(rep, origin).Last.LastSeq == 3 })
	r.must(r.lab.Site("east").Kill())
	// Until a new meta leader is elected, the paths through other sites say nothing.
	rep := r.until("the API answers there, and INFO does not", func(rep policy.Report) bool {
		m := member(rep, origin)
		if l, ok := through(m, "west"); ok && l.Evidence.Verdict() == policy.Up {
			t.Fatalf("looks: got %+v", m.Looks)
		}
		return has(m, "east", policy.Disconnected) && has(m, "west", policy.Timeout) && has(m, "eu", policy.Timeout)
	})
	if m := member(rep, origin); m.Last == nil || m.Last.LastSeq != 3 {
		t.Errorf("kept: got %+v", m.Last)
	}
	r.sees(west, "west", policy.Answered)
	r.must(r.lab.Site("east").Restart(within(t, 20*time.Second)))
	r.sees(origin, "east", policy.Answered)
}

func TestSharedMetaKnownOffline(t *testing.T) {
	t.Parallel()
	r := start(t, natslab.Supercluster, 1, 1)
	r.must(r.lab.Site("east").Shutdown(within(t, 20*time.Second)))
	rep := r.until("known offline through both others", func(rep policy.Report) bool {
		m := member(rep, origin)
		return has(m, "east", policy.Disconnected) && has(m, "west", policy.Offline) && has(m, "eu", policy.Offline)
	})
	if l, _ := through(member(rep, origin), "west"); l.Took < 400*time.Millisecond {
		t.Errorf("10118 came after %v; it is known to take half a second", l.Took)
	}
}

func TestMetaQuorumLost(t *testing.T) {
	t.Parallel()
	r := start(t, natslab.TwoCluster, 1, 1)
	r.must(r.lab.Site("east").Kill())
	rep := r.sees(origin, "west", policy.MetaUnavailable)
	if !has(member(rep, origin), "east", policy.Disconnected) {
		t.Errorf("origin: got %+v", member(rep, origin).Looks)
	}
	if !has(member(rep, west), "west", policy.Answered) {
		t.Errorf("the mirror's own server lives: got %+v", member(rep, west).Looks)
	}
}

// The page of facts says that INFO shows nothing wrong with a leader whose followers have just died. It does: the time
// since they were heard of grows. And a mirror of a stream without leader still hears from it.
func TestStreamLostItsQuorum(t *testing.T) {
	t.Parallel()
	r := start(t, natslab.Domains, 3, 3)
	r.publish(1)
	leader := member(r.look(), origin).Last.Leader
	for _, s := range r.lab.Site("east").Servers() {
		if s.Name != leader {
			r.must(s.Kill())
		}
	}
	var silent time.Duration // of both followers, while a leader was shown
	r.until("no leader", func(rep policy.Report) bool {
		l, ok := through(member(rep, origin), "east")
		if info, err := r.admin["east"].Info(within(t, time.Second), origin.Stream); err == nil && info.Leader() != "" {
			silent = max(silent, min(info.Cluster.Replicas[0].Active, info.Cluster.Replicas[1].Active))
		}
		return ok && l.Evidence == policy.NoLeader
	})
	t.Logf("a leader was shown until its followers had been silent for %v", silent)
	if silent < 4*time.Second {
		t.Errorf("silence of the followers: got %v at most", silent)
	}
	rep := r.look()
	if last := member(rep, origin).Last; last.Leader != leader || last.LastSeq != 1 {
		t.Errorf("kept: got %+v, want the last answer of a leader", last)
	}
	if m := member(rep, west).Last.Mirror; m.Active < 0 || m.Active > 3*time.Second {
		t.Errorf("mirror: got active %v; it is known to go on hearing from a stream without leader", m.Active)
	}
}
