package watchdog

import (
	"fmt"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
)

var (
	east = policy.MemberID{Site: "east", Stream: "EVENTS"}
	west = policy.MemberID{Site: "west", Stream: "EVENTS_W"}
	eu   = policy.MemberID{Site: "eu", Stream: "EVENTS_EU"}
	both = policy.MemberID{Site: "west", Stream: "EVENTS_W2"} // a second mirror at west
)

// built makes the status of EVENTS, which follows east and is healthy at the leader, after a change of all that.
func built(change func(*streamBuilder)) streamBuilder {
	sr := policy.StreamRules{Name: "EVENTS", Origin: east, Threshold: time.Minute, Interval: time.Second, MaxLoss: 10,
		Mirrors: []policy.MirrorRule{{MemberID: west}, {MemberID: both}, {MemberID: eu}}}
	b := streamBuilder{sr: sr, isLive: true}
	b.rules = policy.Rules{Watchdogs: map[string]string{"wd": "eu"}, Streams: map[string]policy.StreamRules{"EVENTS": sr}}
	b.hash, b.node, b.quorum, b.state = b.rules.Hash(), "wd", true, policy.NewState()
	b.st = b.state.Stream(sr)
	b.round = timedRound{at: time.Now(), StreamRound: agreed(policy.AgreedUp, policy.Healthy, policy.Up, policy.Answered)}
	change(&b)
	return b
}

func agreed(a policy.Agreement, c policy.Code, v policy.Verdict, e policy.Evidence) policy.StreamRound {
	return policy.StreamRound{Agreement: a, Reason: policy.Reason{Code: c}, Members: map[string]policy.MemberRound{},
		Votes: []policy.Vote{{Node: "wd", Site: "eu", Verdict: v, Evidence: e, Age: time.Second, Fresh: true}}}
}

// failedOver has eu as the primary after failover 2, with west and east retired, in a map of random order.
func failedOver(b *streamBuilder) {
	b.st.Primary, b.st.Epoch = eu, 2
	b.st.Members = map[string]policy.MemberState{
		east.String(): {ID: east, Retired: 1, FencedAt: time.Unix(1, 0)},
		west.String(): {ID: west, Retired: 2}, eu.String(): {ID: eu, Promoted: 2},
	}
	b.round.Members[east.String()] = policy.MemberRound{Evidence: policy.AnsweredParked}
}

func TestStateName(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*streamBuilder)
		want   string
	}{
		"healthy": {func(*streamBuilder) {}, api.StateHealthy},
		"suspect": {func(b *streamBuilder) {
			b.round.StreamRound = agreed(policy.NotAgreed, policy.TooFewObservers, policy.Down, policy.Timeout)
		}, api.StateSuspect},
		"down": {func(b *streamBuilder) {
			b.round.StreamRound = agreed(policy.AgreedDown, policy.ThresholdPending, policy.Down, policy.Timeout)
			b.st.Clock.Outage = time.Minute
		}, api.StateDown},
		"blind": {func(b *streamBuilder) {
			b.round.StreamRound = agreed(policy.NotAgreed, policy.Blind, policy.Unknown, policy.AuthError)
		}, api.StateUnknown},
		"no view":     {notLive, api.StateUnknown},
		"no quorum":   {func(b *streamBuilder) { b.quorum = false }, api.StateUnknown},
		"failed over": {failedOver, api.StateFailedOver},
		"returned": {func(b *streamBuilder) {
			failedOver(b)
			b.round.Members[west.String()] = policy.MemberRound{Evidence: policy.Answered}
		}, api.StateReturned},
		"captures": {func(b *streamBuilder) {
			failedOver(b)
			b.st.DualCapture = []policy.Capture{{Member: west, Epoch: 2, SeenAt: time.Now()}}
		}, api.StateReturned},
		"captured before": {func(b *streamBuilder) {
			failedOver(b)
			b.st.DualCapture = []policy.Capture{{Member: east, Epoch: 1, SeenAt: time.Unix(1, 0), Fenced: time.Unix(2, 0)}}
		}, api.StateFailedOver},
	} {
		t.Run(name, func(t *testing.T) {
			for range 20 { // in which a map is never always in the same order
				if got := built(test.change).build().State; got != test.want {
					t.Fatalf("got %s, want %s", got, test.want)
				}
			}
		})
	}
}

// notLive is what a node has that does not lead: the round which the log happens to hold.
func notLive(b *streamBuilder) {
	b.isLive, b.round = false, timedRound{StreamRound: remembered(b.round.StreamRound)}
}

// TestStatusWithoutView wants a logged round, however healthy, not to pass for the present.
func TestStatusWithoutView(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*streamBuilder)
		state  string
		code   policy.Code
	}{
		"quorum":    {func(*streamBuilder) {}, api.StateUnknown, policy.Blind},
		"no quorum": {func(b *streamBuilder) { b.quorum = false }, api.StateUnknown, policy.NoQuorum},
		"held":      {func(b *streamBuilder) { b.state.Hold.Held = true }, api.StateHeld, policy.Held},
		"running": {func(b *streamBuilder) {
			b.st.Attempt = &policy.Attempt{Epoch: 1, Phase: policy.PhaseFence, Target: west}
		}, api.StateFailingOver, policy.InProgress},
	} {
		t.Run(name, func(t *testing.T) {
			s := built(func(b *streamBuilder) { test.change(b); notLive(b) }).build()
			if s.State != test.state || s.Reason.Code != test.code {
				t.Errorf("got %s, %s, want %s, %s", s.State, s.Reason, test.state, test.code)
			}
			if len(s.Observers) != 1 || s.Observers[0].Fresh || s.Observers[0].AgeMS != -1 {
				t.Errorf("observers %+v, want one, not fresh, of age -1", s.Observers)
			}
			for _, m := range s.Members {
				if m.Eligible || m.ActiveMS != -1 || m.Evidence != policy.NotLooked {
					t.Errorf("member %+v, want one that nobody looked at", m)
				}
			}
		})
	}
}

// TestBuildersWithoutView takes the log's round as it is kept of a stream that was healthy when it last changed.
func TestBuildersWithoutView(t *testing.T) {
	s, _ := reloading(t)
	st := s.replica.state.Stream(s.rules.Streams["EVENTS"])
	st.Round = agreed(policy.AgreedUp, policy.Healthy, policy.Up, policy.Answered)
	s.replica.state.Streams["EVENTS"] = st
	if got := s.builders(nil, true)[0].build(); got.State != api.StateUnknown || got.Observers[0].Fresh {
		t.Errorf("without a leader's view: %s, %+v", got.State, got.Observers)
	}
	l := newLive(&journal{s: s, teller: &teller{s: s}}, noProgress)
	if got := s.builders(l, true)[0].build(); got.State != api.StateUnknown {
		t.Errorf("before the leader's first round: %s", got.State)
	}
	l.set(map[string]policy.StreamRound{"EVENTS": st.Round})
	if got := s.builders(l, true)[0].build(); got.State != api.StateHealthy || !got.Observers[0].Fresh {
		t.Errorf("at the leader: %s, %+v", got.State, got.Observers)
	}
	if !st.Round.Votes[0].Fresh {
		t.Error("the log's own round was changed")
	}
}

func TestSilentAfter(t *testing.T) {
	every := func(intervals ...time.Duration) policy.Rules {
		r := policy.Rules{Streams: map[string]policy.StreamRules{}}
		for i, d := range intervals {
			r.Streams[fmt.Sprint(i)] = policy.StreamRules{Interval: d}
		}
		return r
	}
	for want, rules := range map[time.Duration]policy.Rules{
		5 * time.Second: every(time.Second, time.Minute), 3 * time.Minute: every(time.Minute, time.Hour),
	} {
		if got := silentAfter(rules); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got := silentAfter(every()); got != 5*time.Second {
		t.Errorf("without streams: %s", got)
	}
}
