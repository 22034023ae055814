package policy

import "time"

// SpareViews is what a step to the end of a spare has read just now: the spare first, then the primary.
type SpareViews struct {
	Spare, Primary View
	// Archive is the account of an archive that was made and verified by this step.
	Archive *Tail
	// ArchiveStands says that the archive of the logged account is there, whole, or that it needs none.
	ArchiveStands bool
	// Waited is the time since this leader saw the newest open write to the spare first.
	Waited time.Duration
}

// spareLate is how long a create of a spare that got no answer may still take effect: longer than any connection holds it.
const spareLate = time.Hour

// SparesDue lists the spares of a stream that are not needed any more, or may come back by a late write: none while an attempt runs
// or the primary is not well.
func SparesDue(s State, name string) []Spare {
	st := s.Streams[name]
	if st.Attempt != nil || s.Held(name) || !st.primaryWell() {
		return nil
	}
	var list []Spare
	for _, key := range sortedKeys(st.Spares) {
		if !st.needsSpare(st.Spares[key]) {
			list = append(list, st.Spares[key])
		}
	}
	return list
}

// EnsureSpare is Ensure for one spare that is not needed: it is deleted. What it may hold beyond the primary, since that was
// replaced, is archived before.
func EnsureSpare(st StreamState, s Spare, v SpareViews) Move {
	if id, ok := s.seen(v.Spare); ok {
		return closeSpare(st, s, id)
	}
	e := spareEnd{st: st, s: s, v: v}
	shape, ok := v.Spare.shape()
	switch {
	case v.Spare.Evidence == NotFound:
		return e.absent()
	case !ok || !v.Primary.answered() || v.Primary.Snapshot == nil:
		return Move{Kind: MoveNone} // it is looked at again
	case shape.Kind != ShapeMirror || s.Follow != (MemberID{}) && shape.Upstream != s.Follow.Stream:
		return e.wait(ChangedOutside, "%s, a spare copy of %s, is %s now, not by a write of ours: it is left as it is", s.ID, s.Follow, shape)
	case s.open(WriteUnspare) && v.Waited < spareLost:
		return Move{Kind: MoveNone}
	case s.Stray > 0:
		if m, ok := e.archived(); !ok {
			return m
		}
		if from, ok := st.captures(shape.Upstream); ok {
			return e.wait(DualCapture, "%s, a spare copy, follows %s, which takes messages: that is parked first", s.ID, from)
		}
	case v.Spare.Snapshot.LastSeq > v.Primary.Snapshot.LastSeq:
		return e.wait(Unreachable, "%s, a spare copy, holds more than %s: it is not deleted", s.ID, st.Primary)
	}
	w := Write{ID: NewWriteID(st.Epoch, WriteUnspare, int(st.WriteSeq)+1), Kind: WriteUnspare, Member: s.ID, Via: s.ID.Site}
	return sendSpare(st, s.For, w)
}

// spareEnd is one EnsureSpare.
type spareEnd struct {
	st StreamState
	s  Spare
	v  SpareViews
}

func (e spareEnd) command() SpareCommand {
	return SpareCommand{Stream: e.st.Name, Epoch: e.st.Epoch, Spare: e.s.ID}
}

// wait logs a reason that is new.
func (e spareEnd) wait(code Code, format string, args ...any) Move {
	c := e.command()
	if c.Waiting = reasonf(code, format, args...); c.Waiting == e.s.Waiting {
		return Move{Kind: MoveNone}
	}
	return Move{Kind: MoveSpare, Spare: c}
}

// absent is what there is to do about a spare that is not there: it is forgotten, once no create of it can arrive.
func (e spareEnd) absent() Move {
	switch {
	case e.s.open(WriteUnspare) || !e.s.open(WriteSpare):
		c := e.command()
		c.Gone = true
		return Move{Kind: MoveSpare, Spare: c}
	case e.v.Waited >= spareLate:
		return closeSpare(e.st, e.s, e.s.Writes[0].ID)
	}
	return e.wait(WriteOpen, "a spare copy that is gone; a create of it got no answer, and may still take effect")
}

// archived asks that all that a stray holds beyond its fork is in an archive that stands.
func (e spareEnd) archived() (Move, bool) {
	last, c := e.v.Spare.Snapshot.LastSeq, e.command()
	switch t := e.s.Tail; {
	case t != nil && last <= t.MemberLast && e.v.ArchiveStands:
		return Move{}, true
	case t != nil && last <= t.MemberLast:
		return e.wait(Unreachable, "the archive %s at %s is not seen whole: %s is not deleted", t.Stream, t.Site, e.s.ID), false
	case last <= e.s.ForkLimit:
		c.Tail = &Tail{Fork: e.s.ForkLimit, MemberLast: last} // it only ever copied
	case e.v.Archive == nil:
		return Move{Kind: MoveArchive}, false
	default:
		c.Tail = e.v.Archive
	}
	return Move{Kind: MoveSpare, Spare: c}, false
}
