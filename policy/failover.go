package policy

import (
	"encoding/json"
	"fmt"
	"slices"
)

// View is a live reading of one member by the leader, through the site that its write would go through.
type View struct {
	Evidence Evidence
	// Snapshot is the answer, when there is one (Answered, AnsweredParked, NoLeader).
	Snapshot *Snapshot
}

func (v View) answered() bool { return v.Evidence == Answered || v.Evidence == AnsweredParked }

// shape returns what an answering member is; unreadable configs count as not answered.
func (v View) shape() (Shape, bool) {
	if !v.answered() || v.Snapshot == nil {
		return Shape{}, false
	}
	s, err := ShapeOf(v.Snapshot.Config)
	return s, err == nil
}

// Views is what a step has read just now.
type Views struct {
	Members map[string]View
	// Owners are the streams that hold any of the attempt's subjects, as the target's meta group has it;
	// OwnersEvidence is Answered when that is known.
	Owners         []string
	OwnersEvidence Evidence
	// Ready says that a write probe on the target's parked subject was answered by a leader; Still that its last sequence
	// was the same in an earlier reading of this phase.
	Ready, Still bool
}

// MoveKind is what a step does next.
type MoveKind string

// The kinds of move. Send means a write that is open already, or that is to be logged open first.
const (
	MoveSend   MoveKind = "send"
	MoveClose  MoveKind = "close"
	MoveResult MoveKind = "result"
	MoveNone   MoveKind = "none"
)

// Move is one move of a step: exactly what its kind names is set.
type Move struct {
	Kind   MoveKind
	Write  Write
	Resend bool // the write is in the log already
	Close  CloseCommand
	Result ResultCommand
}

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
	switch a.Phase {
	case PhaseConfirm:
		return e.confirm()
	case PhaseFence:
		return e.fence()
	case PhasePromote:
		return e.promote()
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
		return StampOf(view.Snapshot.Config).Write == w.ID
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

func (e ensurer) from() View   { return e.v.Members[e.a.From.String()] }
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

// originIsBack reports that the origin answers, bound or parked by us: nothing was promoted yet, so it goes on.
func (e ensurer) originIsBack() bool { return e.from().answered() || e.st.Round.Agreement == AgreedUp }

// backOff gives an origin that lives its stream back, unless a delete of it may still come.
func (e ensurer) backOff() Move {
	if e.a.DeleteOpened {
		return e.wait(WriteOpen, "%s answers again, but a delete of it was sent and may still take effect: it is left as it is until then", e.a.From)
	}
	return e.result(OutcomeAbort, reasonf(Healthy, "%s answers again", e.a.From))
}

func (e ensurer) confirm() Move {
	if e.originIsBack() {
		return e.backOff()
	}
	if m, ok := e.gatesStand(); !ok {
		return m
	}
	if m, ok := e.targetStands(); !ok {
		return m
	}
	return e.done("%s is still down, %s stands at sequence %d", e.a.From, e.a.Target, e.target().Snapshot.LastSeq)
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

// targetStands checks, while nothing was promoted, that the target can still be reached and is still a mirror.
func (e ensurer) targetStands() (Move, bool) {
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
	case !e.a.TargetCreated.IsZero() && !t.Snapshot.Created.Equal(e.a.TargetCreated):
		return e.giveUp(reasonf(ChangedOutside, "%s was deleted and created anew since it was chosen", e.a.Target)), false
	case t.Snapshot.LastSeq < e.a.TargetSeq:
		return e.giveUp(reasonf(ChangedOutside, "%s stands at sequence %d, and stood at %d when it was chosen", e.a.Target, t.Snapshot.LastSeq, e.a.TargetSeq)), false
	}
	if m := t.Snapshot.Mirror; m != nil && m.Active >= 0 && m.Active < receivingWithin {
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

// fence takes the subjects away from the origin, as far as its topology allows (design.md §6).
func (e ensurer) fence() Move {
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

func (e ensurer) fenceSeparate() Move {
	m := e.result(OutcomeDone, reasonf(InProgress, "%s cannot be reached now; it will be fenced as soon as it answers", e.a.From))
	m.Result.FenceDebt = true
	return m
}

func (e ensurer) fenceShared() Move {
	if e.from().Evidence != Offline {
		return e.send(WritePark, e.a.From)
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
	shape, ok := e.target().shape()
	switch {
	case !ok:
		return e.targetGone()
	case shape.Kind == ShapeMirror:
		return e.send(WritePromote, e.a.Target)
	case shape.Kind == ShapeParked && !e.v.Ready:
		return e.wait(InProgress, "%s is promoted, and does not take writes yet", e.a.Target)
	case shape.Kind == ShapeParked && !e.v.Still:
		return e.wait(InProgress, "%s is promoted, and its sequence may not stand still yet", e.a.Target)
	}
	m := e.done("%s is promoted, and stands at sequence %d", e.a.Target, e.target().Snapshot.LastSeq)
	m.Result.LastSeq = e.target().Snapshot.LastSeq
	return m
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

// send is the write of a kind that the phase needs: the open one again if it may be repeated, else a new one.
func (e ensurer) send(kind WriteKind, id MemberID) Move {
	m := e.st.Members[id.String()]
	for _, w := range m.Writes {
		if w.Open() && w.Kind == kind && w.ID.Epoch() == e.a.Epoch && kind.repeatable() {
			return Move{Kind: MoveSend, Write: w, Resend: true}
		}
	}
	w, err := compose(e.st, e.node, kind, id, e.raw(id), e.a)
	if err != nil {
		return e.wait(ChangedOutside, "%s: %v", id, err)
	}
	return Move{Kind: MoveSend, Write: w}
}

// raw is the newest config of a member: just read, or else as the log has it.
func (e ensurer) raw(id MemberID) json.RawMessage {
	if s := e.v.Members[id.String()].Snapshot; s != nil && len(s.Config) > 0 {
		return s.Config
	}
	return e.st.Members[id.String()].Config
}

// compose makes a new write: its id, its whole desired config and the resulting shape.
func compose(st StreamState, node string, kind WriteKind, id MemberID, raw json.RawMessage, a *Attempt) (Write, error) {
	w := Write{ID: NewWriteID(st.Epoch, kind, int(st.WriteSeq)+1), Kind: kind, Member: id, Via: id.Site}
	if a != nil && a.Shared && id == a.From {
		w.Via = a.Target.Site // the origin's own site may be gone; its meta group is the target's
	}
	if kind == WriteDelete {
		return w, nil
	}
	stamp, m := Stamp{Write: w.ID, Watchdog: node}, st.Members[id.String()]
	var err error
	switch kind {
	case WritePark:
		w.Config, err = ParkConfig(raw, id, stamp)
	case WriteUnpark:
		w.Config, err = UnparkConfig(raw, m.Original, stamp)
	case WritePromote:
		w.Config, err = PromoteConfig(raw, a.Origin, id, stamp)
	case WriteBind:
		w.Config, err = BindConfig(raw, boundBefore(m, a), bindSubjects(m, a), stamp)
	default:
		err = fmt.Errorf("write kind %q is not known", kind)
	}
	if err != nil {
		return Write{}, err
	}
	w.Shape, err = ShapeOf(w.Config)
	return w, err
}

// boundBefore is the config of a promoted member's own earlier bind, when that is repaired.
func boundBefore(m MemberState, a *Attempt) json.RawMessage {
	if a != nil {
		return nil
	}
	return m.Original
}

// bindSubjects are those of the attempt or, when a bind is repaired, those that the log wants.
func bindSubjects(m MemberState, a *Attempt) []string {
	if a != nil {
		return a.Subjects
	}
	if m.Want == nil {
		return nil
	}
	return m.Want.Subjects
}
