package policy

import "slices"

// Ensure is the heart of a failover: given the state and what was read just now, it says the one next move of the
// running attempt. Every phase reads, acts if needed and is read back by the next call; calling it twice, or by two
// leaders, does no harm. node stamps the writes.
func Ensure(st StreamState, node string, v Views) Move {
	a := st.Attempt
	if a == nil {
		return Move{Kind: MoveNone}
	}
	if m, ok := closeSeen(st, v); ok {
		return m
	}
	e := ensurer{st: st, a: a, node: node, v: v}
	if m, ok := e.sameTarget(); !ok {
		return m
	}
	switch a.Phase {
	case PhaseConfirm:
		return e.confirm()
	case PhaseFence:
		return e.fence()
	case PhaseFenced:
		return e.fenced()
	case PhaseDrain:
		return e.drain()
	case PhasePromote:
		return e.promote()
	case PhaseSeed:
		return e.seed()
	case PhaseConsumers:
		return e.consumers()
	case PhaseBind:
		return e.bind()
	case PhaseVerify:
		return e.verify()
	case PhaseAborting:
		return e.aborting()
	}
	return Move{Kind: MoveNone}
}

// closeSeen closes an open write whose effect was read back.
func closeSeen(st StreamState, v Views) (Move, bool) {
	for _, w := range st.openWrites() {
		if effectSeen(st, w, v) {
			return Move{Kind: MoveClose, Close: CloseCommand{Stream: st.Name, Member: w.Member, Write: w.ID, How: ClosedSeen}}, true
		}
	}
	return Move{}, false
}

// effectSeen reports that a write has taken effect: its stamp is on the stream, or, for an origin that nobody can
// read any more, its meta group says that the subjects are free.
func effectSeen(st StreamState, w Write, v Views) bool {
	view := v.Members[w.Member.String()]
	if view.Snapshot != nil && (view.answered() || view.Evidence == NoLeader) {
		stamp := StampOf(view.Snapshot.Config).Write
		return stamp == w.ID || w.Kind == WritePromote && stamp.Kind() == WriteBind && stamp.Epoch() == w.ID.Epoch() // it came before
	}
	a := st.Attempt
	if a == nil || !a.Shared || w.Member != a.From || w.Kind != WritePark && w.Kind != WriteDelete {
		return false
	}
	return v.OwnersEvidence == Answered && !slices.Contains(v.Owners, a.From.Stream)
}

type ensurer struct {
	st   StreamState
	a    *Attempt
	node string
	v    Views
}

func (e ensurer) from() View { return e.v.Members[e.a.From.String()] }

func (e ensurer) target() View { return e.v.Members[e.a.Target.String()] }

func (e ensurer) result(o Outcome, r Reason) Move {
	return Move{Kind: MoveResult, Result: ResultCommand{Stream: e.st.Name, Epoch: e.a.Epoch, Phase: e.a.Phase, Outcome: o, Reason: r}}
}

func (e ensurer) done(format string, args ...any) Move {
	return e.result(OutcomeDone, reasonf(InProgress, format, args...))
}

func (e ensurer) wait(c Code, format string, args ...any) Move {
	return e.result(OutcomeWaiting, reasonf(c, format, args...))
}

func (e ensurer) confirm() Move {
	if e.a.planned() {
		return e.preCheck()
	}
	if e.originIsBack() {
		return e.backOff()
	}
	if m, ok := e.gatesStand(); !ok {
		return m
	}
	if m, ok := e.targetStands(); !ok {
		return m
	}
	if !e.a.ConsumersFrozen {
		return Move{Kind: MoveFreeze}
	}
	return e.done("%s is still down, %s stands at sequence %d", e.a.From, e.a.Target, e.target().Snapshot.LastSeq)
}

// fence takes the subjects away from the origin, as far as its topology allows (design.md §6).
func (e ensurer) fence() Move {
	if e.a.planned() {
		return e.fencePlanned()
	}
	if e.from().Evidence == NotFound && !e.a.DeleteOpened && !e.st.Members[e.a.From.String()].Deleted {
		return e.result(OutcomeAbort, reasonf(OriginDeleted, "%s was deleted by somebody", e.a.From))
	}
	if e.originIsBack() {
		return e.backOff()
	}
	if m, ok := e.gatesStand(); !ok {
		return m
	}
	if m, ok := e.subjectsKnown(); !ok {
		return m
	}
	if !e.a.Shared {
		return e.fenceSeparate()
	}
	if !slices.Contains(e.v.Owners, e.a.From.Stream) {
		return e.done("%s has released %s", e.a.From, list(e.a.Subjects))
	}
	return e.fenceShared()
}

func (e ensurer) fenceSeparate() Move {
	m := e.result(OutcomeDone, reasonf(InProgress, "%s cannot be reached now; it will be fenced as soon as it answers", e.a.From))
	m.Result.FenceDebt = true
	return m
}

func (e ensurer) fenceShared() Move {
	if e.from().Evidence != Offline {
		return e.send(WritePark, e.a.From)
	}
	if e.a.Kind == KindFence {
		return e.result(OutcomeAbort, UnreleasableReason(e.a.From)) // to be decided by the failover
	}
	if e.a.Rules.Release != ReleaseDelete {
		return e.result(OutcomeWaiting, UnreleasableReason(e.a.From))
	}
	if e.a.DeleteOpened {
		return e.wait(WriteOpen, "the delete of %s is on its way", e.a.From)
	}
	if w, open := e.st.Members[e.a.From.String()].openExcept(); open {
		return e.wait(WriteOpen, "write %s to %s is open: it must be closed before a delete", w.ID, w.Member)
	}
	return e.send(WriteDelete, e.a.From)
}

func (e ensurer) promote() Move {
	if !e.a.PromoteOpened {
		return e.firstPromote()
	}
	shape, ok := e.target().shape()
	switch {
	case !ok:
		return e.targetGone()
	case shape.Kind == ShapeMirror:
		return e.send(WritePromote, e.a.Target)
	case shape.Kind == ShapeParked && !e.v.Ready:
		return e.wait(InProgress, "%s is promoted, and does not take writes yet", e.a.Target)
	case e.a.planned():
		return e.done("%s is promoted, at sequence %d of %s", e.a.Target, e.a.LastSeq, e.a.From) // what it has beyond are seeds
	case shape.Kind == ShapeParked && !e.v.Still:
		return e.wait(InProgress, "%s is promoted, and its sequence may not stand still yet", e.a.Target)
	}
	m := e.done("%s is promoted, and stands at sequence %d", e.a.Target, e.target().Snapshot.LastSeq)
	m.Result.LastSeq = e.target().Snapshot.LastSeq
	return m
}

// firstPromote asks everything once more: after it there is only forward.
func (e ensurer) firstPromote() Move {
	if e.a.planned() {
		if m, ok := e.stillDrained(); !ok {
			return m
		}
		return e.withBind(e.send(WritePromote, e.a.Target))
	}
	if e.originIsBack() {
		return e.backOff()
	}
	if m, ok := e.gatesStand(); !ok {
		return m
	}
	if m, ok := e.targetStands(); !ok {
		return m
	}
	return e.send(WritePromote, e.a.Target)
}

func (e ensurer) targetGone() Move {
	if e.target().Evidence == MetaUnavailable {
		return e.wait(MetaQuorumLost, "the meta group of %s has no quorum", e.a.Target)
	}
	return e.wait(TargetUnreachable, "%s was promoted and cannot be reached (%s): the epoch keeps its target", e.a.Target, e.target().Evidence)
}

// bind gives the target the real subjects, and not while the origin is reachable and holds them.
func (e ensurer) bind() Move {
	shape, ok := e.target().shape()
	switch {
	case !ok:
		return e.targetGone()
	case shape.Kind == ShapeMirror:
		return e.send(WritePromote, e.a.Target)
	case shape.Kind == ShapeBound && slices.Equal(shape.Subjects, e.a.Subjects):
		return e.done("%s holds %s", e.a.Target, list(e.a.Subjects))
	case shape.Kind == ShapeBound:
		return e.wait(ChangedOutside, "%s should be bound to %s, but is %s", e.a.Target, list(e.a.Subjects), shape)
	}
	if reason, ok := e.st.membersStand(e.a.From, e.a.Target); !ok {
		return e.result(OutcomeWaiting, reason)
	}
	if m, ok := e.originParked(); !ok {
		return m
	}
	return e.send(WriteBind, e.a.Target)
}

// originParked re-ensures the fence: an origin that came back meanwhile is parked first, by a leader that reaches it.
func (e ensurer) originParked() (Move, bool) {
	shape, ok := e.from().shape()
	if ok && shape.Kind == ShapeBound {
		return e.send(WritePark, e.a.From), false
	}
	if seen := e.st.Round.Members[e.a.From.String()]; !ok && seen.Evidence == Answered {
		return e.wait(SeenUpBy, "%s answers %s with its old subjects, and not this leader, who must park it first", e.a.From, list(seen.SeenBy)), false
	}
	if m, ok := e.subjectsKnown(); !ok {
		return m, false
	}
	if e.a.Shared && slices.Contains(e.v.Owners, e.a.From.Stream) {
		return e.fenceShared(), false
	}
	return Move{}, true
}

// verify reads everything back before the epoch ends.
func (e ensurer) verify() Move {
	shape, ok := e.target().shape()
	if !ok {
		return e.targetGone()
	}
	if shape.Kind == ShapeParked { // a late promote took it back
		return e.send(WriteBind, e.a.Target)
	}
	if shape.Kind != ShapeBound || !slices.Equal(shape.Subjects, e.a.Subjects) {
		return e.wait(ChangedOutside, "%s should be bound to %s, but is %s", e.a.Target, list(e.a.Subjects), shape)
	}
	if m, ok := e.originParked(); !ok {
		return m
	}
	if !slices.Contains(e.v.Owners, e.a.Target.Stream) {
		return e.wait(InProgress, "the meta group of %s does not list it for %s yet", e.a.Target, list(e.a.Subjects))
	}
	if w, open := e.st.blocksEnd(); open {
		if w.Kind == WriteBind { // another one brought the subjects; only its own effect closes this one
			return Move{Kind: MoveSend, Write: w, Resend: true}
		}
		return e.wait(WriteOpen, "write %s (%s of %s) may still take effect", w.ID, w.Kind, w.Member)
	}
	if len(e.a.Carried) > 0 && !e.v.Released {
		return Move{Kind: MoveRelease}
	}
	return e.done("%s takes %s, and nobody else does", e.a.Target, list(e.a.Subjects))
}

// aborting gives the origin back what was taken. An origin that cannot be reached is given back later, by repair.
func (e ensurer) aborting() Move {
	from := e.st.Members[e.a.From.String()]
	if w, open := from.openExcept(WritePark); open && w.Kind != WriteUnpark {
		return e.wait(WriteOpen, "write %s to %s may still take effect", w.ID, w.Member)
	}
	shape, ok := e.from().shape()
	switch {
	case ok && shape.Kind == ShapeParked:
		if reason, ok := e.st.membersStand(e.a.From); !ok {
			return e.result(OutcomeWaiting, reason)
		}
		return e.send(WriteUnpark, e.a.From)
	case ok:
		if w, open := e.st.blocksEnd(); open {
			return e.wait(WriteOpen, "write %s to %s may still take effect", w.ID, w.Member)
		}
		return e.done("%s holds its subjects", e.a.From)
	}
	if w, open := e.st.blocksEnd(); open {
		return e.wait(WriteOpen, "write %s to %s may still take effect", w.ID, w.Member)
	}
	return e.done("%s cannot be reached; it gets its subjects back when it answers", e.a.From)
}
