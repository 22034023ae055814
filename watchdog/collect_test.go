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
