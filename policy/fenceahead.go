package policy

import (
	"slices"
	"time"
)

// Ahead of the threshold: in a shared meta group the server refuses to change a stream whose servers have been gone for
// some minutes. An attempt of its own parks the origin before that, and gives it back when it answers in time.

// aheadGates are those of a failover, with the wait that the config wants before a fence in place of the threshold. What a
// person decides about a failover (the mode, an approval, the loss) does not hold up what can be taken back.
var aheadGates = []gate{
	gateHeld, gateConfig, gateMembership, gateOpenWrites, gateEvidence, gateFenceAfter, gateMetaQuorum, gateEligible,
	gateParkable, gateBrake,
}

// fenceAhead is the attempt that parks the origin now, if the time for it has come.
func (q *question) fenceAhead() (Attempt, bool) {
	for _, g := range aheadGates {
		if _, pass := g(q); !pass {
			return Attempt{}, false
		}
	}
	a := q.attempt()
	a.Kind, a.Trigger = KindFence, "fence.after"
	return a, true
}

func gateFenceAfter(q *question) (Reason, bool) {
	after, c := q.sr.FenceAfter, q.st.Clock
	asked := after > 0 && q.sr.Mode != ModeAlertOnly
	due := c.Outage >= after && c.Agreed >= min(after, contiguousIntervals*q.sr.Interval)
	if !asked || !due || q.triedAhead() {
		return reasonf(ThresholdPending, "%s is not to be fenced now", q.st.Primary), false
	}
	return Reason{}, true
}

// triedAhead reports that a fence ahead of the threshold ended within this outage: one that did not go through then is left
// to the failover.
func (q *question) triedAhead() bool {
	a := q.st.Last
	return a != nil && a.Kind == KindFence && a.From == q.st.Primary && q.state.At.Sub(a.EndedAt) < q.st.Clock.Outage
}

// gateParkable lets only an origin be fenced whose meta group outlives it, and does not refuse it yet.
func gateParkable(q *question) (Reason, bool) {
	offline := slices.ContainsFunc(q.st.Round.Votes, func(v Vote) bool { return v.Evidence == Offline })
	if !q.shared() || offline {
		return UnreleasableReason(q.st.Primary), false
	}
	return Reason{}, true
}

// fencedAhead reports that the origin is parked ahead of the threshold: a failover may begin from there.
func (st StreamState) fencedAhead() bool {
	return st.Attempt != nil && st.Attempt.Kind == KindFence && st.Attempt.Phase == PhaseFenced
}

// fenced waits for the failover that begins from here, or for the origin.
func (e ensurer) fenced() Move {
	if e.originIsBack() || e.st.Round.Agreement == AgreedParked {
		return e.backOff()
	}
	if reason, ok := e.st.membersStand(e.a.From, e.a.Target); !ok {
		return e.giveUp(reason)
	}
	return e.wait(ThresholdPending, "%s is parked ahead of the threshold; it gets its subjects back if it answers before", e.a.From)
}

// beginAhead is what Apply asks of the begin of a fence ahead of the threshold, beside what every begin needs.
func (a Attempt) beginAhead() error {
	if a.Rules.FenceAfter <= 0 || a.Rules.Mode == ModeAlertOnly {
		return refuse("the config does not want %s to be fenced ahead of the threshold", a.From)
	}
	if !a.Shared {
		return refuse("%s shares no meta group with %s: there is nothing to fence it by", a.Target, a.From)
	}
	return nil
}

// endAhead ends the fence from which a failover begins.
func (st *StreamState) endAhead(s *State, at time.Time) {
	if !st.fencedAhead() {
		return
	}
	ended := *st.Attempt
	ended.Phase, ended.EndedAt = PhaseDone, at
	st.Attempt, st.Last = nil, &ended
	s.note(at, st.Name, ended.Epoch, "fence_completed", reasonf(InProgress, "%s stays parked: a failover begins", ended.From))
}
