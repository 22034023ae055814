package probe_test

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/natslab"
	"github.com/understudy-ha/understudy/watchdog/probe"
)

// A look from before a pause of this process has an old round: it must not be served under the newest one.
func TestLooksOfAnOldRoundAreNotServed(t *testing.T) {
	t.Parallel()
	r := start(t, natslab.Domains, 1, 1)
	rep := r.obs.Look(t.Context(), 2, 10, nil)
	if rep.Term != 2 || rep.Round != 10 || !has(member(rep, origin), "east", policy.Answered) {
		t.Fatalf("got %d/%d and %+v", rep.Term, rep.Round, member(rep, origin).Looks)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel() // so that nothing new is waited for
	for _, tc := range []struct {
		term, round uint64
	}{{2, 1000}, {3, 1}} {
		asked := time.Now()
		rep := r.obs.Look(gone, tc.term, tc.round, nil)
		if rep.Term != tc.term || rep.Round != tc.round {
			t.Errorf("round: got %d/%d, want %d/%d", rep.Term, rep.Round, tc.term, tc.round)
		}
		for _, l := range member(rep, origin).Looks {
			if l.Evidence != policy.NotLooked && l.Age > time.Since(asked) {
				t.Errorf("served under %d/%d: %+v", tc.term, tc.round, l)
			}
		}
		if member(rep, origin).Last == nil {
			t.Error("what is remembered must be served all the same")
		}
	}
	// A deposed leader learns that there is a newer term.
	if rep := r.obs.Look(t.Context(), 1, 5000, nil); rep.Term != 3 {
		t.Errorf("answer to a deposed leader: got term %d, want 3", rep.Term)
	}
}

// One round late is served, but says so.
func TestLateLooksLowerTheRound(t *testing.T) {
	t.Parallel()
	r := start(t, natslab.Domains, 1, 1)
	r.must(r.lab.CutPair(office, "west", natslab.BlackHole)) // its looks take all of the time
	gone, cancel := context.WithTimeout(t.Context(), timeout/3)
	defer cancel()
	r.obs.Look(t.Context(), 2, 10, nil)
	rep := r.obs.Look(gone, 2, 11, nil)
	if rep.Term != 2 || rep.Round != 10 {
		t.Errorf("round: got %d/%d, want 2/10: west was last looked at then", rep.Term, rep.Round)
	}
}

func TestObserverProbesByItself(t *testing.T) {
	t.Parallel()
	r := start(t, natslab.Domains, 1, 1)
	var looked atomic.Int64
	own := probe.New(probe.Options{Node: "wd", Site: office, Log: discard, Looked: func(name string, id policy.MemberID, l policy.Look) {
		if name != stream || l.Via != id.Site || l.Took <= 0 {
			t.Errorf("Looked: got %s, %s, %+v", name, id, l)
		}
		looked.Add(1)
	}})
	own.Configure(r.config)
	serve(t, own)
	r.eventually("looked again and again, though nobody asked", func() error {
		if n := looked.Load(); n < 9 {
			return fmt.Errorf("%d looks", n)
		}
		return nil
	})
}

func TestReload(t *testing.T) {
	t.Parallel()
	r := start(t, natslab.Domains, 1, 1)
	hash := r.look().ConfigHash
	// The same sites by other addresses: new connections, and nothing may look down while they are made.
	changed := r.config
	changed.Logins = maps.Clone(r.config.Logins)
	for _, s := range r.lab.Sites() {
		l := changed.Logins[probe.Entry{Site: s.Name}]
		l.Servers = s.URLs()
		changed.Logins[probe.Entry{Site: s.Name}] = l
	}
	r.obs.Configure(changed)
	for range 20 {
		rep := r.look()
		for _, id := range []policy.MemberID{origin, west, eu} {
			for _, l := range member(rep, id).Looks {
				if l.Evidence.Verdict() == policy.Down {
					t.Errorf("%s: %+v", id, l)
				}
			}
			if member(rep, id).Last == nil {
				t.Errorf("%s: forgotten", id)
			}
		}
	}
	r.sees(origin, "east", policy.Answered)

	sr := changed.Rules.Streams[stream]
	sr.Mirrors = sr.Mirrors[:1]
	changed.Rules.Streams = map[string]policy.StreamRules{stream: sr}
	r.obs.Configure(changed)
	rep := r.until("eu is forgotten", func(rep policy.Report) bool { return len(rep.Streams[stream].Members) == 2 })
	if rep.ConfigHash == hash || rep.ConfigHash != changed.Rules.Hash() {
		t.Errorf("hash: got %s", rep.ConfigHash)
	}
	changed.Rules.Streams = map[string]policy.StreamRules{}
	r.obs.Configure(changed)
	r.until("nothing is guarded", func(rep policy.Report) bool { return len(rep.Streams) == 0 })
	r.obs.Configure(r.config)
	r.sees(eu, "eu", policy.Answered)
}

func TestManyStreamsAndCallers(t *testing.T) {
	t.Parallel()
	const streams = 100
	r := start(t, natslab.Domains, 1, 1)
	rules := r.config.Rules
	rules.Streams = map[string]policy.StreamRules{}
	for i := range streams {
		id := policy.MemberID{Site: "east", Stream: fmt.Sprintf("S%d", i)}
		r.create(id, fmt.Sprintf(`"subjects":["s%d"]`, i))
		rules.Streams[id.Stream] = policy.StreamRules{Name: id.Stream, Origin: id, Interval: time.Minute}
	}
	r.config.Rules, r.config.Timeout = rules, 5*time.Second
	few := probe.New(probe.Options{Node: "wd", Site: office, Log: discard, Concurrency: 4})
	few.Configure(r.config)
	serve(t, few)
	answered := func(rep policy.Report) (n int) {
		for name, sr := range rep.Streams {
			if has(sr.Members["east/"+name], "east", policy.Answered) {
				n++
			}
		}
		return n
	}
	r.eventually("all answered in one report", func() error {
		if n := answered(few.Look(t.Context(), 1, 1, nil)); n != streams {
			return fmt.Errorf("%d of %d", n, streams)
		}
		return nil
	})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			asked := []string{"S0", fmt.Sprintf("S%d", 1+i), "NONE"}
			for answers := 0; answers != 2 && t.Context().Err() == nil; { // a busy machine may take more than one probe
				rep := few.Look(t.Context(), 1, uint64(i+1), asked)
				if len(rep.Streams) != 2 {
					t.Errorf("asked for %v: got %d streams", asked, len(rep.Streams))
				}
				answers = answered(rep)
			}
		})
	}
	wg.Wait()
}

func TestWithoutRunOrConfig(t *testing.T) {
	o := probe.New(probe.Options{Node: "wd", Site: office, Log: discard})
	if rep := o.Look(t.Context(), 1, 1, nil); rep.Node != "wd" || len(rep.Streams) != 0 {
		t.Errorf("neither configured nor run: got %+v", rep)
	}
	serve(t, o)
	if rep := o.Look(t.Context(), 1, 1, nil); len(rep.Streams) != 0 {
		t.Errorf("not configured: got %+v", rep)
	}
}
