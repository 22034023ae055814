package policy

// originIsBack reports that the origin answers, bound or parked by us: nothing was promoted yet, so it goes on.
func (e ensurer) originIsBack() bool { return e.from().answered() || e.st.Round.Agreement == AgreedUp }

// backOff gives an origin that lives its stream back, unless a delete of it may still come.
func (e ensurer) backOff() Move {
	if e.a.DeleteOpened {
		return e.wait(WriteOpen, "%s answers again, but a delete of it was sent and may still take effect: it is left as it is until then", e.a.From)
	}
	return e.result(OutcomeAbort, reasonf(Healthy, "%s answers again", e.a.From))
}

// gatesStand asks again, while nothing was promoted, what makes acting wrong: what the log has learned since the begin
// counts. Members that are not as they should be end the attempt; evidence that has become less only holds it.
func (e ensurer) gatesStand() (Move, bool) {
	if reason, ok := e.st.membersStand(e.a.From, e.a.Target); !ok {
		return e.giveUp(reason), false
	}
	reason, ok := e.st.evidenceStands()
	switch {
	case ok:
		return Move{}, true
	case reason.Code == MirrorReceiving:
		return e.giveUp(reason), false
	}
	return e.result(OutcomeWaiting, reason), false
}

// evidenceStands says whether the newest logged round still agrees that the origin of the running attempt is down (S3).
// Of an origin that we deleted there is no evidence any more, nor a way back.
func (st StreamState) evidenceStands() (Reason, bool) {
	a, r := st.Attempt, st.Round
	switch {
	case a.DeleteOpened:
		return Reason{}, true
	case r.Agreement != AgreedDown:
		return r.Reason, false
	case len(r.Receiving) > 0:
		return receivingReason(r, a.From), false
	case len(r.LastUp) > 0:
		return lastUpReason(r, a.From), false
	}
	return Reason{}, true
}

// targetHolds checks, while nothing was promoted, that the target can still be reached and is still the mirror that was
// chosen.
func (e ensurer) targetHolds() (Move, bool) {
	t := e.target()
	shape, ok := t.shape()
	switch {
	case t.Evidence == MetaUnavailable:
		return e.wait(MetaQuorumLost, "the meta group of %s has no quorum", e.a.Target), false
	case !ok && !e.st.Round.Members[e.a.Target.String()].Reachable():
		return e.giveUp(reasonf(TargetUnreachable, "nobody reaches %s any more (%s)", e.a.Target, t.Evidence)), false
	case !ok:
		return e.wait(TargetUnreachable, "this leader does not reach %s (%s)", e.a.Target, t.Evidence), false
	case shape.Kind != ShapeMirror || shape.Upstream != e.a.From.Stream:
		return e.giveUp(reasonf(ChangedOutside, "%s is no longer a mirror of %s, but %s", e.a.Target, e.a.From, shape)), false
	case e.a.remade(*t.Snapshot):
		return e.giveUp(reasonf(ChangedOutside, "%s was deleted and created anew since it was chosen", e.a.Target)), false
	case t.Snapshot.LastSeq < e.a.TargetSeq:
		return e.giveUp(reasonf(ChangedOutside, "%s stands at sequence %d, and stood at %d when it was chosen", e.a.Target, t.Snapshot.LastSeq, e.a.TargetSeq)), false
	}
	return Move{}, true
}

// sameTarget asks, once a promote was sent, that what answers is what was promoted. What a person made under its name since then is
// not written to: it may hold nothing of the stream.
func (e ensurer) sameTarget() (Move, bool) {
	if t := e.target(); e.a.PromoteOpened && t.Snapshot != nil && t.answered() && e.a.remade(*t.Snapshot) {
		return e.wait(ChangedOutside, "%s was promoted, and then deleted and created anew by somebody", e.a.Target), false
	}
	return Move{}, true
}

// remade reports that a reading of the target is of another incarnation than the one that was chosen.
func (a *Attempt) remade(s Snapshot) bool {
	return !a.TargetCreated.IsZero() && !s.Created.Equal(a.TargetCreated)
}

// targetStands asks further that the target of a failover hears nothing of its origin.
func (e ensurer) targetStands() (Move, bool) {
	if m, ok := e.targetHolds(); !ok {
		return m, false
	}
	if m := e.target().Snapshot.Mirror; m != nil && m.Active >= 0 && m.Active < receivingWithin {
		return e.giveUp(reasonf(MirrorReceiving, "%s still receives from %s", e.a.Target, e.a.From)), false
	}
	return Move{}, true
}

// giveUp aborts while that is legal; once a delete was sent there is only forward, or waiting.
func (e ensurer) giveUp(r Reason) Move {
	if e.a.DeleteOpened {
		return e.result(OutcomeWaiting, r)
	}
	return e.result(OutcomeAbort, r)
}

// subjectsKnown asks for an answer of the target's meta group on who holds the subjects, and that nobody else does.
func (e ensurer) subjectsKnown() (Move, bool) {
	switch e.v.OwnersEvidence {
	case Answered:
	case MetaUnavailable:
		return e.wait(MetaQuorumLost, "the meta group of %s has no quorum", e.a.Target), false
	default:
		return e.wait(TargetUnreachable, "the meta group of %s does not say who holds %s (%s)", e.a.Target, list(e.a.Subjects), e.v.OwnersEvidence), false
	}
	for _, owner := range e.v.Owners {
		if owner != e.a.Target.Stream && (owner != e.a.From.Stream || !e.a.Shared) {
			return e.wait(SubjectsUnreleasable, "stream %s at %s holds subjects of %s: remove them from it", owner, e.a.Target.Site, e.st.Name), false
		}
	}
	return Move{}, true
}
