package probe_test

import (
	"testing"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/natslab"
	"github.com/understudy-ha/understudy/watchdog/probe"
)

func TestHealthy(t *testing.T) {
	t.Parallel()
	r := start(t, natslab.Domains, 1, 1)
	r.publish(5)
	rep := r.until("the mirrors have followed", func(rep policy.Report) bool {
		return member(rep, west).Last.LastSeq == 5 && member(rep, eu).Last.LastSeq == 5
	})
	if rep.Node != "wd" || rep.Site != office || rep.ConfigHash != r.config.Rules.Hash() {
		t.Errorf("report: got %s at %s with hash %s", rep.Node, rep.Site, rep.ConfigHash)
	}
	if rep.Term != 1 || rep.Round != r.round {
		t.Errorf("round: got %d/%d, want 1/%d", rep.Term, rep.Round, r.round)
	}
	for _, id := range []policy.MemberID{origin, west, eu} {
		m := member(rep, id)
		if len(m.Looks) != 1 || m.Looks[0].Evidence != policy.Answered || m.Looks[0].Age > timeout {
			t.Errorf("%s: got looks %+v, want one answer: separate domains have one path", id, m.Looks)
		}
		s := m.Last
		if s.LastSeq != 5 || s.Messages != 5 || s.Leader == "" || s.Replicas != 1 || s.Current != 1 || s.APILevel < 2 {
			t.Errorf("%s: got %+v", id, s)
		}
		if s.ConfigSum == "" || s.ConfigSum != policy.Sum(s.Config) || s.Created.IsZero() || s.Age > timeout {
			t.Errorf("%s: identity: got %+v", id, s)
		}
	}
	if v := member(rep, west).Last.Mirror; v == nil || v.Name != origin.Stream || v.Active < 0 || v.Active > 10*time.Second {
		t.Errorf("mirror: got %+v", v)
	}
	if policy.SharesMeta(member(rep, west).Last.Config) {
		t.Error("a mirror with an external API prefix was taken for one in a shared meta group")
	}
}

func TestSiteKilledKeepsWhatWasKnown(t *testing.T) {
	t.Parallel()
	r := start(t, natslab.Domains, 1, 1)
	r.publish(7)
	before := r.until("all stored", func(rep policy.Report) bool { return member(rep, origin).Last.LastSeq == 7 })
	r.must(r.lab.Site("east").Kill())
	killed := time.Now()
	rep := r.sees(origin, "east", policy.Disconnected)
	if d := time.Since(killed); d > 2*time.Second {
		t.Errorf("seen after %v", d)
	}
	l, _ := through(member(rep, origin), "east")
	if l.Evidence.Verdict() != policy.Down || l.Detail == "" || len(member(rep, origin).Looks) != 1 {
		t.Errorf("looks: got %+v", member(rep, origin).Looks)
	}
	kept, known := member(rep, origin).Last, member(before, origin).Last
	if kept == nil || kept.LastSeq != 7 || !kept.Created.Equal(known.Created) || kept.ConfigSum != known.ConfigSum {
		t.Errorf("kept: got %+v, want %+v", kept, known)
	}
	later := r.until("the age grows", func(rep policy.Report) bool {
		return member(rep, origin).Last.Age > kept.Age+200*time.Millisecond
	})
	if !has(member(later, west), "west", policy.Answered) {
		t.Errorf("west: got %+v", member(later, west).Looks)
	}
	r.must(r.lab.Site("east").Restart(within(t, 20*time.Second)))
	r.sees(origin, "east", policy.Answered)
}

// Through a server that is alive, a dead domain has no responders.
func TestDeadDomainBehindALivingServer(t *testing.T) {
	t.Parallel()
	r := start(t, natslab.Domains, 1, 1)
	e := probe.Entry{Site: "east"}
	login := r.config.Logins[e]
	login.Servers = r.lab.Hub().URLsFrom(office)
	r.config.Logins[e] = login
	r.obs.Configure(r.config)
	r.until("seen through the hub", func(rep policy.Report) bool {
		l, ok := through(member(rep, origin), "east")
		return ok && l.Evidence == policy.Answered && member(rep, origin).Last.Age < timeout
	})
	r.must(r.lab.Site("east").Kill())
	r.sees(origin, "east", policy.NoResponders)
}

func TestPausedServer(t *testing.T) {
	t.Parallel()
	r := start(t, natslab.Domains, 1, 1)
	r.must(r.lab.Site("east").Pause())
	r.sees(origin, "east", policy.Timeout)
	// The connection is given up after some pings; it must look down all the time.
	r.until("the dead connection is found", func(rep policy.Report) bool {
		l, ok := through(member(rep, origin), "east")
		if !ok || l.Evidence.Verdict() != policy.Down {
			t.Fatalf("looks while paused: got %+v", member(rep, origin).Looks)
		}
		return l.Evidence == policy.Disconnected
	})
	r.must(r.lab.Site("east").Resume())
	r.sees(origin, "east", policy.Answered)
}

func TestPartitionedSite(t *testing.T) {
	t.Parallel()
	r := start(t, natslab.Domains, 1, 1)
	r.must(r.lab.CutPair(office, "east", natslab.BlackHole))
	r.until("the one times out, and the other is not delayed", func(rep policy.Report) bool {
		return has(member(rep, origin), "east", policy.Timeout) && has(member(rep, west), "west", policy.Answered)
	})
	began := time.Now()
	r.look()
	if took := time.Since(began); took > timeout+time.Second { // the second is for a busy machine
		t.Errorf("the answer took %v, with a timeout of %v", took, timeout)
	}
	r.sees(origin, "east", policy.Disconnected)
	r.must(r.lab.HealPair(office, "east"))
	r.sees(origin, "east", policy.Answered)
}

func TestIsolatedObserver(t *testing.T) {
	t.Parallel()
	for _, how := range []natslab.LinkState{natslab.BlackHole, natslab.Refuse} {
		t.Run(how.String(), func(t *testing.T) {
			r := start(t, natslab.Domains, 1, 1)
			r.must(r.lab.Cut(office, how))
			down := func(rep policy.Report) (looks, isolated int) {
				for _, id := range []policy.MemberID{origin, west, eu} {
					for _, l := range member(rep, id).Looks {
						looks++
						if l.Evidence == policy.Isolated {
							isolated++
						}
						if l.Evidence.Verdict() == policy.Down {
							t.Errorf("%s: got %+v: it is we who are cut off", id, l)
						}
					}
				}
				return looks, isolated
			}
			for range 5 {
				down(r.look())
			}
			r.until("isolated from all", func(rep policy.Report) bool {
				looks, isolated := down(rep)
				return looks == 3 && isolated == 3
			})
			r.must(r.lab.Heal(office))
			r.sees(origin, "east", policy.Answered)
		})
	}
}
