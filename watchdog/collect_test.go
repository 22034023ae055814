package watchdog

import (
	"testing"
	"time"

	"github.com/understudy-ha/understudy/policy"
)

// TestCollectorKeepsStreamsApart has a watchdog report two streams, and then, in a round that asks for less, one.
func TestCollectorKeepsStreamsApart(t *testing.T) {
	c := newCollector(nil)
	look := func(e policy.Evidence) policy.StreamReport {
		return policy.StreamReport{Members: map[string]policy.MemberReport{"east/S": {Looks: []policy.Look{{Via: "east", Evidence: e}}}}}
	}
	report := func(round uint64, streams map[string]policy.StreamReport) policy.Report {
		return policy.Report{Node: "wd-east", Term: 7, Round: round, Streams: streams}
	}
	c.keep(report(1, map[string]policy.StreamReport{"OFTEN": look(policy.Answered), "SELDOM": look(policy.Answered)}), time.Now().Add(-time.Second))
	c.keep(report(2, map[string]policy.StreamReport{"OFTEN": look(policy.Timeout)}), time.Now())

	for name, want := range map[string]struct {
		round    uint64
		evidence policy.Evidence
		age      time.Duration
	}{"OFTEN": {2, policy.Timeout, 0}, "SELDOM": {1, policy.Answered, time.Second}} {
		got := c.of(name)
		if len(got) != 1 || got[0].Round != want.round || got[0].Node != "wd-east" || len(got[0].Streams) != 1 {
			t.Errorf("%s: got %+v, want one report of round %d", name, got, want.round)
			continue
		}
		l := got[0].Streams[name].Members["east/S"].Looks[0]
		if l.Evidence != want.evidence || l.Age < want.age {
			t.Errorf("%s: got %+v, want %+v", name, l, want)
		}
	}
	if got := c.of("OTHER"); len(got) != 0 {
		t.Errorf("a stream that nobody reported: %+v", got)
	}
	if got := c.newest(); len(got) != 1 || got[0].Round != 2 {
		t.Errorf("newest: %+v, want that of round 2", got)
	}
}

// TestCollectorDoesNotWaitForTheLate asks watchdogs of which one never answers: the first round waits for it, the ones
// after do not, until it has answered in time.
func TestCollectorDoesNotWaitForTheLate(t *testing.T) {
	c := newCollector(nil)
	for i, want := range []struct{ ask, await bool }{{true, true}, {true, false}, {true, false}, {false, false}} {
		if ask, await := c.mayAsk("wd-east"); ask != want.ask || await != want.await {
			t.Errorf("question %d: ask %t, await %t, want %+v", i, ask, await, want)
		}
	}
	c.answered("wd-east", false)
	if ask, await := c.mayAsk("wd-east"); !ask || await {
		t.Errorf("after a late answer: ask %t, await %t", ask, await)
	}
	c.answered("wd-east", true)
	if ask, await := c.mayAsk("wd-east"); !ask || !await {
		t.Errorf("after an answer in time: ask %t, await %t", ask, await)
	}
	if ask, await := c.mayAsk("wd-west"); !ask || !await {
		t.Errorf("another watchdog: ask %t, await %t", ask, await)
	}
}
