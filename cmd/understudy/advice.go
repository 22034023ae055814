package main

import (
	"strings"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
)

// nextStep says what a person can do about a stream's reason; what the reason's own text says already is not said
// twice.
func nextStep(s api.StreamStatus) string {
	step := advice(s.Reason.Code)
	if step == "" {
		step = "see the reason"
	}
	if s.Target != nil {
		step = strings.ReplaceAll(step, "SITE", s.Target.Site)
	}
	return strings.ReplaceAll(step, "STREAM", s.Name)
}

// adoptStep shows first what it would do.
const adoptStep = "`understudy adopt STREAM --dry-run`, then without"

// advice is "" for a code that this build does not know.
func advice(c policy.Code) string {
	if text := evidenceAdvice(c); text != "" {
		return text
	}
	switch c {
	case policy.Held:
		return "when you are done: `understudy resume` (all) or `understudy resume STREAM`"
	case policy.ConfigMismatch:
		return "make the configs equal (`understudy config show --hash` on each host), then `understudy reload` on each"
	case policy.ChangedOutside:
		return "put the named stream back to what it should be (`nats stream edit`), or take it over as it is: " + adoptStep
	case policy.StateLost:
		return "the raft store is older than the streams: restore the newest store of any watchdog or, if there is none, take over what " +
			"is there: " + adoptStep
	case policy.WriteOpen:
		return "wait until the write shows its effect; the server that it went to may be paused. If it never will: " + adoptStep
	case policy.NoQuorum:
		return "start, or reach, a majority of the watchdogs"
	case policy.SubjectsUnreleasable:
		return "see the reason; bringing the origin's servers back is the way that loses nothing"
	case policy.NoEligibleMirror:
		return "look at the candidates below; once one is repaired, it goes on by itself"
	case policy.LossUnknown, policy.LossOverLimit:
		return "bring the origin back, which loses nothing; or accept the loss: `understudy failover STREAM --allow-loss`"
	case policy.Cooldown:
		return "wait, or `understudy failover STREAM`"
	case policy.Brake:
		return "find what takes the sites down, then `understudy failover STREAM`"
	case policy.AlertOnly:
		return "`understudy failover STREAM` does it now; `mode: unattended` would have"
	case policy.AwaitingApproval:
		return "`understudy approve STREAM`"
	case policy.TargetUnreachable:
		return "bring the target's site back: after its promotion began, no other mirror is taken. If it is gone for good: " +
			"`understudy failover STREAM --abandon SITE`"
	case policy.HookRefused:
		return "look at what the hook said"
	case policy.InProgress:
		return "nothing: it goes on by itself; `understudy status --watch` shows how"
	case policy.DualCapture:
		return "keep publishers away from the old origin; it is parked as soon as it lets itself be"
	}
	return ""
}

// evidenceAdvice is for the codes that come from what the watchdogs see.
func evidenceAdvice(c policy.Code) string {
	switch c {
	case policy.Healthy:
		return "nothing to do"
	case policy.Suspect:
		return "nothing yet: the next rounds tell"
	case policy.ThresholdPending:
		return "wait for the threshold, or now: `understudy failover STREAM`"
	case policy.TooFewObservers:
		return "look at the watchdogs that do not report: a majority must see it down"
	case policy.OneSiteOnly:
		return "look at the watchdogs of the other sites: one site's view may be its own network"
	case policy.ObserversDisagree:
		return "look at the votes below"
	case policy.SeenUpBy:
		return "look at the network between the sites: the primary lives"
	case policy.MirrorReceiving:
		return "look at the watchdogs' own way to the primary: it lives, its mirror hears it"
	case policy.Blind:
		return "look at the logins and the network of the watchdogs (the notes tell what they met)"
	case policy.ClockSlow:
		return "look at the load of the leader's machine: it does not keep time"
	case policy.OriginDeleted:
		return "it is never taken for an outage: create it anew or promote a mirror by hand (`nats stream edit`), then " + adoptStep
	case policy.OriginRecreated:
		return "the mirrors followed another stream of that name: find out which one holds the data; if the new one is meant to stay, " + adoptStep
	case policy.MetaQuorumLost:
		return "bring servers of the meta group back; nats-server 2.15 has $JS.API.META.RESCUE for the worst case"
	}
	return ""
}
