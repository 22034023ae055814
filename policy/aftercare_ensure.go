package policy

import (
	"time"
)

// EnsureCare is Ensure for the care of one member: the one next move, given what was read just now.
func EnsureCare(st StreamState, sr StreamRules, node string, id MemberID, v CareViews) Move {
	c, begun := st.Aftercare[id.String()]
	if !begun {
		kind := st.careOf(sr, id)
		stale := st.Round.Members[id.String()].Evidence == NotFound && v.Member.answered() // it was made since that round
		if kind == "" || stale {
			return Move{Kind: MoveNone}
		}
		return Move{Kind: MoveCare, Care: CareCommand{Stream: st.Name, Member: id, Epoch: st.Epoch, Outcome: OutcomeBegin, Kind: kind}}
	}
	e := carer{st: st, sr: sr, c: c, m: st.Members[id.String()], node: node, v: v}
	if m, ok := e.closeSeen(); ok {
		return m
	}
	switch c.Phase {
	case PhaseSeal:
		return e.seal()
	case PhaseArchive:
		return e.archive()
	case PhaseReplay:
		return e.replay()
	case PhaseArchived:
		return e.archived()
	case PhaseDelete:
		return e.delete()
	case PhaseCreate:
		return e.create()
	case PhaseCatchUp:
		return e.catchUp()
	}
	return Move{Kind: MoveNone}
}

type carer struct {
	st   StreamState
	sr   StreamRules
	c    Aftercare
	m    MemberState
	node string
	v    CareViews
}

func (e carer) result(o Outcome, r Reason) Move {
	return Move{Kind: MoveCare, Care: CareCommand{Stream: e.st.Name, Member: e.c.Member, Epoch: e.c.Epoch, Phase: e.c.Phase, Outcome: o, Reason: r}}
}

func (e carer) done(format string, args ...any) Move {
	return e.result(OutcomeDone, reasonf(InProgress, format, args...))
}

func (e carer) wait(c Code, format string, args ...any) Move {
	return e.result(OutcomeWaiting, reasonf(c, format, args...))
}

// closeSeen closes an open write whose effect was read back: its stamp, or for a delete the stream's absence.
func (e carer) closeSeen() (Move, bool) {
	for _, w := range e.m.Writes {
		seen := false
		switch s := e.v.Member.Snapshot; {
		case !w.Open():
			continue
		case w.Kind == WriteDelete: // one of those that were sent; which, cannot be told, and the others stay open
			seen = !e.m.Deleted && e.v.Member.Evidence == NotFound
		case s != nil && e.v.Member.answered():
			seen = StampOf(s.Config).Write == w.ID
		}
		if seen {
			return Move{Kind: MoveClose, Close: CloseCommand{Stream: e.st.Name, Member: w.Member, Write: w.ID, How: ClosedSeen}}, true
		}
	}
	return Move{}, false
}

// seal makes the returned origin's content final: no late write can revive it, and the server refuses every further
// message.
func (e carer) seal() Move {
	shape, ok := e.v.Member.shape()
	switch {
	case e.m.Deleted: // by one of an earlier time that came late
		return e.done("%s is deleted", e.c.Member)
	case !ok:
		return e.wait(Unreachable, "%s does not answer (%s)", e.c.Member, e.v.Member.Evidence)
	case shape.Kind != ShapeParked:
		return e.wait(DualCapture, "%s should be parked, and is %s", e.c.Member, shape)
	case Sealed(e.v.Member.Snapshot.Config):
		return e.done("%s is sealed at sequence %d", e.c.Member, e.v.Member.Snapshot.LastSeq)
	}
	return e.send(WriteSeal)
}

// archive has the tail copied, by whoever carries the steps out; the account comes back with the views.
func (e carer) archive() Move {
	switch {
	case e.m.Deleted: // by a delete that seemed lost, after which the member had grown, or a late one
		m := e.done("%s is deleted", e.c.Member)
		if m.Care.Tail = e.c.Tail; e.c.Tail == nil { // a mirror again until somebody made a stream of it
			m.Care.Tail = &Tail{}
		}
		return m
	case !e.v.Member.answered():
		return e.wait(Unreachable, "%s does not answer (%s)", e.c.Member, e.v.Member.Evidence)
	case !e.v.Primary.answered():
		return e.wait(Unreachable, "%s does not answer (%s)", e.st.Primary, e.v.Primary.Evidence)
	case e.c.Kind == CareRepoint && (!e.m.differs() || e.v.Member.Snapshot.LastSeq <= e.m.ForkLimit):
		e.v.Archive = &Tail{Fork: e.m.ForkLimit, MemberLast: e.v.Member.Snapshot.LastSeq} // it only ever copied
	case e.v.Archive == nil:
		return Move{Kind: MoveArchive}
	}
	t := *e.v.Archive
	m := e.done("%s holds nothing above the fork", e.c.Member)
	if t.Messages > 0 {
		m = e.done("%d messages of %s above sequence %d are archived in %s at %s and verified; %s holds %d of them as well",
			t.Messages, e.c.Member, t.Fork, t.Stream, t.Site, e.st.Primary, t.OnPrimary)
	}
	m.Care.Tail = &t
	m.Care.Replay = e.sr.Salvage == SalvageReplay && t.Messages > t.OnPrimary
	return m
}

// replay has the archive's messages that the primary lacks published to it, by whoever carries the steps out.
func (e carer) replay() Move {
	if e.v.Replayed == nil {
		return Move{Kind: MoveReplay}
	}
	r := *e.v.Replayed
	m := e.done("%d messages of %s are published again; %s has %d of its own", r.Replayed+r.Already, e.c.Tail.Stream, e.st.Primary, r.OnPrimary)
	if left := r.Superseded + r.Failed; left > 0 {
		m = e.done("%d messages of %s are published again, %d are not: `understudy salvage show %s`", r.Replayed+r.Already, e.c.Tail.Stream, left, e.c.Tail.Stream)
	}
	m.Care.Replayed = &r
	return m
}

// differs reports that the member may hold what the primary does not.
func (m MemberState) differs() bool { return m.Retired+m.Stray+m.ForkLimit > 0 }

// archived waits for the word to go on: the tail is safe, and the member is of no more use as it is.
func (e carer) archived() Move {
	switch {
	case e.v.Member.Snapshot != nil && e.v.Member.answered() && e.c.Tail != nil && e.v.Member.Snapshot.LastSeq > e.c.Tail.MemberLast:
		return e.result(OutcomeAgain, reasonf(DualCapture, "%s is at sequence %d, and was archived up to %d", e.c.Member, e.v.Member.Snapshot.LastSeq, e.c.Tail.MemberLast))
	case e.c.Asked || e.c.Kind == CareRepoint || e.sr.Rejoin == RejoinAuto:
		return e.done("%s may be made a mirror of %s", e.c.Member, e.st.Primary)
	}
	return e.wait(AwaitingApproval, "`understudy rejoin %s` makes %s a mirror of %s", e.st.Name, e.c.Member, e.st.Primary)
}

// deleteLost is how long a delete may take to show its effect. After it another is sent: the member is as it was archived,
// and is to be deleted anyway. While the lost one may still arrive, the member that is made in its place is no candidate.
const deleteLost = 10 * time.Second

// delete removes the member while it is exactly what was archived, and the archive stands (S7).
func (e carer) delete() Move {
	s := e.v.Member.Snapshot
	w, open := e.m.openOf(WriteDelete, WriteCreate)
	switch {
	case e.m.Deleted:
		return e.done("%s is deleted", e.c.Member)
	case open && (w.Kind == WriteCreate || e.v.Waited < deleteLost):
		return e.wait(WriteOpen, "write %s (%s of %s) may still take effect", w.ID, w.Kind, w.Member)
	case e.v.Member.Evidence == NotFound:
		return e.wait(ChangedOutside, "%s was deleted by somebody: `understudy adopt %s`", e.c.Member, e.st.Name)
	case !e.v.Member.answered() || s == nil:
		return e.wait(Unreachable, "%s does not answer (%s)", e.c.Member, e.v.Member.Evidence)
	case !e.v.Primary.answered():
		return e.wait(Unreachable, "%s does not answer (%s)", e.st.Primary, e.v.Primary.Evidence)
	case !s.Created.Equal(e.m.Created):
		return e.wait(ChangedOutside, "%s was created anew by somebody: `understudy adopt %s`", e.c.Member, e.st.Name)
	case e.c.Tail == nil || s.LastSeq > e.c.Tail.MemberLast && e.m.differs():
		return e.result(OutcomeAgain, reasonf(DualCapture, "%s is at sequence %d, beyond what was archived", e.c.Member, s.LastSeq))
	case e.c.Kind == CareReturn && (!Sealed(s.Config) || !e.v.Listed):
		return e.wait(InProgress, "%s is not seen sealed and listed", e.c.Member)
	case !e.v.ArchiveStands:
		return e.wait(Unreachable, "the archive %s at %s is not seen whole: nothing is deleted", e.c.Tail.Stream, e.c.Tail.Site)
	}
	if reason, ok := e.st.sourcing(e.c.Member, e.sr, e.c.Asked && e.c.By != BySwitchover); ok {
		return e.result(OutcomeWaiting, reason)
	}
	if _, err := e.compose(WriteCreate); err != nil { // better known before there is nothing left
		return e.wait(ChangedOutside, "%s: %v", e.c.Member, err)
	}
	if other, ok := e.st.remaking(e.c.Member); ok && !open { // one that was begun goes on
		return e.wait(InProgress, "%s is being made anew: %s is next", other, e.c.Member)
	}
	if e.c.Kind == CareRepoint {
		if shape, _ := e.v.Member.shape(); shape.Kind != ShapeMirror {
			return e.wait(ChangedOutside, "%s should be a mirror, and is %s", e.c.Member, shape)
		}
		if from, ok := e.st.unparked(e.c.Member); ok && e.m.differs() {
			return e.wait(DualCapture, "%s follows %s, which takes messages: that is parked first", e.c.Member, from)
		}
		if m, ok := e.copied(); !ok {
			return m
		}
	} else if stray, ok := e.st.strays(e.sr); ok && !open {
		return e.wait(InProgress, "%s follows %s by its name, and is made a mirror of %s first", stray, e.c.Member, e.st.Primary)
	}
	return e.send(WriteDelete)
}

// create makes the member again, as a mirror of the primary.
func (e carer) create() Move {
	shape, ok := e.v.Member.shape()
	switch {
	case !e.m.Deleted:
		return e.done("%s is a mirror of %s again", e.c.Member, e.st.Primary)
	case !ok && e.v.Member.Evidence != NotFound:
		return e.wait(Unreachable, "%s does not answer (%s)", e.c.Member, e.v.Member.Evidence)
	case ok && e.m.knows(StampOf(e.v.Member.Snapshot.Config).Write) && !e.v.Member.Snapshot.Created.Equal(e.m.Former):
		return e.send(WriteDelete) // a late create of ours, of another time
	case ok:
		return e.wait(ChangedOutside, "%s should be gone, and is %s, not by a write of ours: `understudy adopt %s`", e.c.Member, shape, e.st.Name)
	}
	return e.send(WriteCreate)
}

func (m MemberState) knows(id WriteID) bool {
	_, ok := m.find(id)
	return id != "" && ok
}

// catchUp waits until the new mirror holds what the primary holds.
func (e carer) catchUp() Move {
	shape, ok := e.v.Member.shape()
	switch {
	case e.m.Deleted:
		return e.result(OutcomeAgain, reasonf(InProgress, "%s was deleted by a late write, and is made once more", e.c.Member))
	case !ok:
		return e.wait(Unreachable, "%s does not answer (%s)", e.c.Member, e.v.Member.Evidence)
	case shape.Kind != ShapeMirror && e.m.Abandoned > 0:
		return e.result(OutcomeAgain, reasonf(InProgress, "%s was given up in failover %d, and is %s: it is archived first", e.c.Member, e.m.Abandoned, shape))
	case shape.Kind != ShapeMirror:
		return e.wait(ChangedOutside, "%s should be a mirror, and is %s", e.c.Member, shape)
	case e.c.Follow != e.st.Primary: // another failover came in between
		return e.done("%s follows %s", e.c.Member, e.c.Follow)
	case !e.v.Primary.answered():
		return e.wait(Unreachable, "%s does not answer (%s)", e.st.Primary, e.v.Primary.Evidence)
	}
	last := e.v.Member.Snapshot.LastSeq
	if !receives(e.v.Member) || last < newestOf(e.v.Newest, e.v.Primary.Snapshot.LastSeq) {
		return e.wait(InProgress, "%s is catching up with %s", e.c.Member, e.st.Primary)
	}
	return e.done("%s follows %s, at sequence %d", e.c.Member, e.st.Primary, last)
}

// send is the open write of a kind again, if it may be repeated, else a new one.
func (e carer) send(kind WriteKind) Move {
	for _, w := range e.m.Writes {
		if w.Open() && w.Kind == kind && kind.repeatable() {
			return Move{Kind: MoveSend, Write: w, Resend: true}
		}
	}
	w, err := e.compose(kind)
	if err != nil {
		return e.wait(ChangedOutside, "%s: %v", e.c.Member, err)
	}
	return Move{Kind: MoveSend, Write: w}
}

func (e carer) compose(kind WriteKind) (Write, error) {
	id := e.c.Member
	w := Write{ID: NewWriteID(e.st.Epoch, kind, int(e.st.WriteSeq)+1), Kind: kind, Member: id, Via: id.Site}
	stamp := Stamp{Write: w.ID, Watchdog: e.node}
	var err error
	switch kind {
	case WriteSeal:
		w.Config, err = SealConfig(e.v.Member.Snapshot.Config, stamp)
	case WriteCreate:
		var external string
		if external, err = e.st.prefixTo(e.sr, id, e.st.Primary); err == nil {
			w.Config, err = MirrorConfig(e.m.Before, id, e.st.Primary, external, e.c.Place, stamp)
		}
	}
	if err != nil || kind == WriteDelete {
		return w, err
	}
	w.Shape, err = ShapeOf(w.Config)
	return w, err
}
