package main

import (
	"fmt"
	"slices"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
)

// gate is one question that the policy asks before a failover begins, and the codes by which it says no.
type gate struct {
	name  string
	codes []policy.Code
}

// gates are in the order in which the policy asks them; the first that says no decides.
func gates() []gate {
	return []gate{
		{"nothing is held", []policy.Code{policy.Held}},
		{"all watchdogs run one config", []policy.Code{policy.ConfigMismatch}},
		{"every member is what it should be", []policy.Code{policy.ChangedOutside, policy.StateLost, policy.DualCapture}},
		{"no write is in the way", []policy.Code{policy.WriteOpen}},
		{"the watchdogs agree that the primary is down", []policy.Code{policy.Healthy, policy.Suspect, policy.TooFewObservers,
			policy.OneSiteOnly, policy.ObserversDisagree, policy.SeenUpBy, policy.MirrorReceiving, policy.Blind, policy.ClockSlow,
			policy.OriginDeleted, policy.OriginRecreated}},
		{"it has been down for the threshold", []policy.Code{policy.ThresholdPending}},
		{"a candidate's meta group has a quorum", []policy.Code{policy.MetaQuorumLost}},
		{"a mirror can take over", []policy.Code{policy.NoEligibleMirror}},
		{"the loss is known and within the limit", []policy.Code{policy.LossUnknown, policy.LossOverLimit}},
		{"the subjects can be released", []policy.Code{policy.SubjectsUnreleasable}},
		{"the cool-down is over", []policy.Code{policy.Cooldown}},
		{"the storm brake is off", []policy.Code{policy.Brake}},
		{"the mode allows it, or a person did", []policy.Code{policy.AlertOnly, policy.AwaitingApproval, policy.HookRefused}},
	}
}

// evidenceGate is the place of the gate on what the watchdogs see.
const evidenceGate = 4

// stoppedAt returns the gate that says no, by its place from 0; false while none is asked: a failover runs, or nobody
// can decide.
func stoppedAt(s api.StreamStatus) (int, bool) {
	if replaces(s.Attempt) {
		return 0, false
	}
	// The code stands for two gates: watchdogs that see no meta group cannot say that the primary is down.
	if s.Reason.Code == policy.MetaQuorumLost && slices.ContainsFunc(s.Observers, func(o api.ObserverStatus) bool {
		return o.Evidence == policy.MetaUnavailable
	}) {
		return evidenceGate, true
	}
	i := slices.IndexFunc(gates(), func(g gate) bool { return slices.Contains(g.codes, s.Reason.Code) })
	return i, i >= 0
}

// replaces says whether an attempt replaces the primary: one that only parks it ahead of the threshold has its gates still
// to pass.
func replaces(a *policy.Attempt) bool { return a != nil && a.Kind != policy.KindFence }

// gateText says which gate said no, which passed, and what is still to be asked.
func gateText(s api.StreamStatus) string {
	i, ok := stoppedAt(s)
	all := gates()
	switch {
	case replaces(s.Attempt):
		return "none is asked: a failover runs"
	case !ok:
		return "none is asked: nothing can be decided"
	}
	text := fmt.Sprintf("%d of %d says no: %q", i+1, len(all), all[i].name)
	if i > 0 {
		text += fmt.Sprintf("; the %d before it passed", i)
	}
	if left := len(all) - 1 - i; left > 0 {
		text += fmt.Sprintf(", the %d after it were not asked", left)
	}
	return text
}
