package policy

import (
	"fmt"
	"slices"
	"time"
)

// approvalLasts is how long a person's consent holds.
const approvalLasts = 15 * time.Minute

// contiguousIntervals is how many intervals of unbroken agreement this term must have witnessed, at most.
const contiguousIntervals = 5

// clampIntervals is how many intervals a round adds to the outage clock at most (design.md §4): more was not witnessed.
const clampIntervals = 2

// gate returns a reason to wait, and false when it lets the failover pass.
type gate func(*question) (Reason, bool)

// gates are asked in this order; the first that stops decides. design.md §5 gives the order its meaning: what makes
// acting wrong comes before what makes it premature, and the operator's wish comes last.
var gates = []gate{
	gateHeld, gateConfig, gateMembership, gateOpenWrites, gateEvidence, gateThreshold, gateMetaQuorum, gateEligible,
	gateLoss, gateReleasable, gateCooldown, gateBrake, gateMode,
}

func gateHeld(q *question) (Reason, bool) {
	held, reason := holding(q.state, q.st)
	return reason, !held
}

func gateConfig(q *question) (Reason, bool) {
	if reason, ok := namesAll(q.st, q.sr); !ok {
		return reason, false
	}
	var other []string
	for _, v := range q.st.Round.Votes {
		if v.Fresh && v.ConfigHash != q.hash {
			other = append(other, v.Node)
		}
	}
	if len(other) == 0 {
		return Reason{}, true
	}
	return reasonf(ConfigMismatch, "%s run another config than the leader %s (%s): compare `understudy config show --hash` and reload", list(other), q.node, q.hash), false
}

// namesAll refuses a config without a member that must stay watched. A reload to one is refused; a start with one is not,
// since the log is not known then.
func namesAll(st StreamState, sr StreamRules) (Reason, bool) {
	for _, id := range watched(st, sr) {
		if slices.Contains(sr.Members(), id) {
			continue
		}
		what := "which is its primary"
		if m := st.Members[id.String()]; m.Retired > 0 || id != st.Primary {
			what = fmt.Sprintf("which had a part in failover %d and must stay watched", max(m.Retired, m.Promoted))
		}
		return reasonf(ConfigMismatch, "the config does not name %s, %s: keep it among the mirrors of %s", id, what, st.Name), false
	}
	return Reason{}, true
}

func gateMembership(q *question) (Reason, bool) {
	reason, ok := membership(q.st, q.sr)
	return adoptRemedy(reason, q.st.Name), ok
}

func gateOpenWrites(q *question) (Reason, bool) {
	for _, w := range q.st.openWrites() {
		if w.beforeBegin(q.st.Primary) {
			return reasonf(WriteOpen, "write %s (%s of %s) may still take effect", w.ID, w.Kind, w.Member), false
		}
	}
	return Reason{}, true
}

func gateEvidence(q *question) (Reason, bool) {
	r := q.st.Round
	if r.Agreement == "" {
		return reasonf(Suspect, "nothing has been looked at yet"), false
	}
	if r.Agreement != AgreedDown {
		return r.Reason, false
	}
	// An override is impatient, but it does not overrule a mirror that still hears its origin.
	if len(r.Receiving) > 0 {
		return receivingReason(r, q.st.Primary), false
	}
	if len(r.LastUp) > 0 {
		return lastUpReason(r, q.st.Primary), false
	}
	return Reason{}, true
}

// receivingReason names the mirrors that veto. The last replicas of an origin that lost its quorum go on sending
// heartbeats, and whether others of it live unseen cannot be told from here: only a person can end that veto.
func receivingReason(r StreamRound, primary MemberID) Reason {
	reason := reasonf(MirrorReceiving, "%s still receives from %s", list(r.Receiving), primary)
	if slices.ContainsFunc(r.Votes, func(v Vote) bool { return v.Evidence == NoLeader }) {
		reason.Text += ", which has no leader: if it will not get one again, stop the servers that still hold it"
	}
	return reason
}

func gateThreshold(q *question) (Reason, bool) {
	c, need := q.st.Clock, min(q.sr.Threshold, contiguousIntervals*q.sr.Interval)
	switch {
	case q.override != nil:
		return Reason{}, true
	case c.Outage < q.sr.Threshold && q.st.Round.Elapsed > clampIntervals*q.sr.Interval:
		return reasonf(ClockSlow, "this leader looked %s after the look before, not %s: it counts %s of that, and %s of %s in all", q.st.Round.Elapsed.Round(time.Millisecond),
			q.sr.Interval, clampIntervals*q.sr.Interval, c.Outage.Round(time.Millisecond), q.sr.Threshold), false
	case c.Outage < q.sr.Threshold:
		return reasonf(ThresholdPending, "%s has been down for %s of %s: %s", q.st.Primary, c.Outage.Round(time.Millisecond), q.sr.Threshold, evidenceList(q.st.Round.Votes)), false
	case c.Agreed < need:
		return reasonf(ThresholdPending, "this leader has witnessed %s of the %s of unbroken agreement that it needs", c.Agreed.Round(time.Millisecond), need), false
	}
	return Reason{}, true
}

func gateMetaQuorum(q *question) (Reason, bool) {
	for _, c := range q.candidates {
		e := q.st.Round.Members[c.ID.String()].Evidence
		if e != MetaUnavailable {
			return Reason{}, true
		}
	}
	if len(q.candidates) == 0 {
		return Reason{}, true
	}
	return reasonf(MetaQuorumLost, "the meta group of every candidate is without quorum: nothing can be promoted"), false
}

func gateEligible(q *question) (Reason, bool) {
	for _, c := range q.candidates {
		if c.Reason.Code != Eligible {
			continue
		}
		if q.override != nil && q.override.Site != "" && q.override.Site != c.ID.Site {
			continue
		}
		q.target = c
		return Reason{}, true
	}
	text := "no mirror can be promoted"
	for _, c := range q.candidates {
		text += fmt.Sprintf("; %s: %s (%s)", c.ID, c.Reason.Code, c.Reason.Text)
	}
	return Reason{Code: NoEligibleMirror, Text: text}, false
}

func gateLoss(q *question) (Reason, bool) {
	l := q.target.Loss
	switch {
	case len(q.st.Members[q.st.Primary.String()].Original) == 0:
		return reasonf(LossUnknown, "nobody has ever read %s: neither its subjects nor what %s lacks are known", q.st.Primary, q.target.ID), false
	case q.override != nil && !q.override.KeepLossLimit:
		return Reason{}, true
	case !l.Known && !q.sr.AllowUnknownLoss:
		return reasonf(LossUnknown, "nobody has ever read %s: how much %s lacks is unknown (loss.unknown: allow would go on)", q.st.Primary, q.target.ID), false
	case l.Known && max(l.AtLeast, l.Estimated) > q.sr.MaxLoss:
		return reasonf(LossOverLimit, "%s lacks at least %s (estimated %d), the limit is %d", q.target.ID, messages(l.AtLeast), l.Estimated, q.sr.MaxLoss), false
	}
	return Reason{}, true
}

// gateReleasable foresees the one case in which the server refuses to fence a dead origin.
func gateReleasable(q *question) (Reason, bool) {
	if q.sr.Release == ReleaseDelete || !q.shared() {
		return Reason{}, true
	}
	for _, v := range q.st.Round.Votes {
		if v.Evidence == Offline {
			return UnreleasableReason(q.st.Primary), false
		}
	}
	return Reason{}, true
}

// UnreleasableReason tells how an operator can release the subjects of an origin whose servers are known offline.
func UnreleasableReason(origin MemberID) Reason {
	return reasonf(SubjectsUnreleasable, "the servers of %s are known to be offline, so NATS refuses to change it; only deleting it frees its subjects "+
		"(its unreplicated tail is then only on that site's disks: copy its store directory before its servers start again): `nats stream rm %s -f`, or `release: delete`", origin, origin.Stream)
}

func gateCooldown(q *question) (Reason, bool) {
	since := q.state.At.Sub(q.st.CompletedAt)
	if q.override != nil || q.st.CompletedAt.IsZero() || since >= q.sr.Cooldown {
		return Reason{}, true
	}
	return reasonf(Cooldown, "the last failover was completed %s ago, the cool-down is %s", since.Round(time.Second), q.sr.Cooldown), false
}

func gateBrake(q *question) (Reason, bool) {
	b := q.rules.Brake
	if q.override != nil || b.Max == 0 {
		return Reason{}, true
	}
	others := q.state.otherOutages(q.st.Primary.Site, b.Per, q.sr)
	if len(others) < b.Max {
		return Reason{}, true
	}
	return reasonf(Brake, "%d site outages were acted on within %s (%s): a person should look first", len(others), b.Per, list(others)), false
}

// otherOutages lists the site outages within a time that were acted upon, or are being so, by their sites: all but the
// one that a failover from this site would be part of.
func (s State) otherOutages(site string, within time.Duration, r StreamRules) []string {
	var sites []string
	for _, o := range s.Outages {
		since := s.At.Sub(o.At)
		if since < within && (o.Site != site || since >= r.sameOutage()) {
			sites = append(sites, o.Site)
		}
	}
	counted := slices.Clone(sites)
	for _, name := range sortedKeys(s.Streams) {
		a := s.Streams[name].Attempt
		if a != nil && a.Kind != KindFence && a.From.Site != site && !slices.Contains(counted, a.From.Site) {
			counted, sites = append(counted, a.From.Site), append(sites, a.From.Site)
		}
	}
	return sites
}

// sameOutage is how long after a site's outage was acted upon another failover from there is part of it.
func (r StreamRules) sameOutage() time.Duration { return max(r.Cooldown, time.Minute) }

func gateMode(q *question) (Reason, bool) {
	if q.override != nil || q.sr.Mode == ModeUnattended {
		return Reason{}, true
	}
	if q.sr.Mode == ModeManual {
		return gateApproval(q)
	}
	return reasonf(AlertOnly, "would fail over to %s now (loss at least %d, estimated %d), but the mode is alert-only: `understudy failover %s` does it",
		q.target.ID, q.target.Loss.AtLeast, q.target.Loss.Estimated, q.st.Name), false
}

func gateApproval(q *question) (Reason, bool) {
	wanted := fmt.Sprintf("failover %d to %s (loss at least %d) waits for `understudy approve %s`", q.st.Epoch+1, q.target.ID, q.target.Loss.AtLeast, q.st.Name)
	a := q.st.Approval
	switch {
	case a == nil:
		return reasonf(AwaitingApproval, "%s", wanted), false
	case a.Epoch != q.st.Epoch+1, a.Target != q.target.ID:
		return reasonf(AwaitingApproval, "%s; the approval by %s was for failover %d to %s", wanted, a.By, a.Epoch, a.Target), false
	case q.target.Loss.AtLeast > a.Loss.AtLeast || a.Loss.Known && !q.target.Loss.Known:
		return reasonf(AwaitingApproval, "%s; the approval by %s was for a loss of %d", wanted, a.By, a.Loss.AtLeast), false
	case q.state.At.Sub(a.At) > approvalLasts:
		return reasonf(AwaitingApproval, "%s; the approval by %s has expired", wanted, a.By), false
	}
	return Reason{}, true
}
