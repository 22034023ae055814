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
	shape, ok := v.Spare.shape()
	c := SpareCommand{Stream: st.Name, Epoch: st.Epoch, Spare: s.ID}
	wait := func(code Code, format string, args ...any) Move {
		if c.Waiting = reasonf(code, format, args...); c.Waiting == s.Waiting {
			return Move{Kind: MoveNone}
		}
		return Move{Kind: MoveSpare, Spare: c}
	}
	switch {
	case v.Spare.Evidence == NotFound && (s.open(WriteUnspare) || !s.open(WriteSpare)):
		c.Gone = true
		return Move{Kind: MoveSpare, Spare: c}
	case v.Spare.Evidence == NotFound && v.Waited >= spareLate:
		return closeSpare(st, s, s.Writes[0].ID)
	case v.Spare.Evidence == NotFound:
		return wait(WriteOpen, "a spare copy that is gone; a create of it got no answer, and may still take effect")
	case !ok || v.Spare.Snapshot == nil:
		return Move{Kind: MoveNone} // it is looked at again, and a late create of it may come
	case !v.Primary.answered() || v.Primary.Snapshot == nil:
		return Move{Kind: MoveNone}
	case shape.Kind != ShapeMirror || s.Follow != (MemberID{}) && shape.Upstream != s.Follow.Stream:
		return wait(ChangedOutside, "%s, a spare copy of %s, is %s now, not by a write of ours: it is left as it is", s.ID, s.Follow, shape)
	case s.open(WriteUnspare) && v.Waited < spareLost:
		return Move{Kind: MoveNone}
	}
	if s.Stray > 0 {
		if m, ok := s.archived(st, v, c); !ok {
			return m
		}
		if from, ok := st.captures(shape.Upstream); ok {
			return wait(DualCapture, "%s, a spare copy, follows %s, which takes messages: that is parked first", s.ID, from)
		}
	} else if p := v.Primary.Snapshot.LastSeq; v.Spare.Snapshot.LastSeq > p {
		return wait(Unreachable, "%s, a spare copy, holds more than %s: it is not deleted", s.ID, st.Primary)
	}
	w := Write{ID: NewWriteID(st.Epoch, WriteUnspare, int(st.WriteSeq)+1), Kind: WriteUnspare, Member: s.ID, Via: s.ID.Site}
	return sendSpare(st, s.For, w)
}

// archived asks that all that a stray holds beyond its fork is in an archive that stands.
func (s Spare) archived(st StreamState, v SpareViews, c SpareCommand) (Move, bool) {
	last := v.Spare.Snapshot.LastSeq
	switch {
	case s.Tail != nil && last <= s.Tail.MemberLast && v.ArchiveStands:
		return Move{}, true
	case s.Tail != nil && last <= s.Tail.MemberLast:
		if c.Waiting = reasonf(Unreachable, "the archive %s at %s is not seen whole: %s is not deleted", s.Tail.Stream, s.Tail.Site, s.ID); c.Waiting == s.Waiting {
			return Move{Kind: MoveNone}, false
		}
		return Move{Kind: MoveSpare, Spare: c}, false
	case last <= s.ForkLimit:
		v.Archive = &Tail{Fork: s.ForkLimit, MemberLast: last} // it only ever copied
	case v.Archive == nil:
		return Move{Kind: MoveArchive}, false
	}
	c.Tail = v.Archive
	return Move{Kind: MoveSpare, Spare: c}, false
}
