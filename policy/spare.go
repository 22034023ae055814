package policy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Spare is a further mirror of the primary, made at the site of the only sibling for as long as that is made anew: at no time
// is the primary the only one that holds the messages. It is no member: nobody probes it, and it never takes over. Its name is
// used once, so that a late write to it can do no more than leave it behind, and then it is deleted again.
type Spare struct {
	ID     MemberID `json:"id"`
	For    MemberID `json:"for"`    // the member that it stands in for
	Follow MemberID `json:"follow"` // the primary that it was made to mirror
	N      uint64   `json:"n"`      // tells it apart from the others of its member
	// Stray and ForkLimit are those of a member (MemberState): once the primary is another one it may hold what that lacks.
	Stray     uint64 `json:"stray,omitempty"`
	ForkLimit uint64 `json:"fork_limit,omitempty"`
	// Tail is the account of what it held beyond that, once the archive was verified.
	Tail *Tail `json:"tail,omitempty"`
	// Waiting is why it is not deleted yet, though nobody needs it; zero while nothing is in the way.
	Waiting Reason `json:"waiting,omitzero"`
	// Writes are the open ones.
	Writes []Write `json:"writes,omitempty"`
}

// Of tells the archive of what the spare held apart from others of its epoch, as Aftercare.Of does.
func (s Spare) Of() string { return fmt.Sprintf("%s_spare%d", s.ID.Site, s.N) }

// spareLost is how long a write to a spare may take to show its effect, before another is sent.
const spareLost = 10 * time.Second

// spareOf names the spare of a member.
func (st StreamState) spareOf(id MemberID, n uint64) MemberID {
	return MemberID{Site: id.Site, Stream: fmt.Sprintf("%s_SPARE_%d_%d", id.Stream, st.Epoch, n)}
}

// IsSpare reports whether a stream, by its config, is a spare copy of ours.
func IsSpare(raw json.RawMessage) bool {
	shape, err := ShapeOf(raw)
	return err == nil && shape.Kind == ShapeMirror && StampOf(raw).Write.Kind() == WriteSpare
}

// FindSpares picks, of the streams that a site lists, spare copies of a guarded one.
func FindSpares(st StreamState, site string, listed []ListedStream) []Spare {
	var found []Spare
	for _, stream := range listed {
		for _, key := range sortedKeys(st.Members) {
			m := st.Members[key].ID
			rest, ours := strings.CutPrefix(stream.Name, m.Stream+"_SPARE_")
			var epoch, n uint64
			if _, err := fmt.Sscanf(rest, "%d_%d", &epoch, &n); err != nil || !ours || m.Site != site || !IsSpare(stream.Config) {
				continue
			}
			found = append(found, Spare{ID: MemberID{Site: site, Stream: stream.Name}, For: m, N: n})
		}
	}
	return found
}

// needsSpare reports that the care of a member counts on the spare. Once it does not, it never will again.
func (st StreamState) needsSpare(s Spare) bool { return st.Aftercare[s.For.String()].Spare == s.ID }

// SpareReason says what a spare is there for, or what keeps it from being deleted.
func (st StreamState) SpareReason(s Spare) Reason {
	switch {
	case st.needsSpare(s):
		return reasonf(InProgress, "a spare copy of %s, which is deleted when %s is one", st.Primary, s.For)
	case s.Waiting != Reason{}:
		return s.Waiting
	}
	return reasonf(InProgress, "a spare copy that nobody needs any more: it is deleted")
}

// Gone reports that the spare was seen deleted, and is known only because a create of it may still arrive.
func (s Spare) Gone() bool { return s.Waiting.Code == WriteOpen }

func (s Spare) open(kind WriteKind) bool {
	return slices.ContainsFunc(s.Writes, func(w Write) bool { return w.Open() && w.Kind == kind })
}

// seen is an open write whose effect was read back.
func (s Spare) seen(v View) (WriteID, bool) {
	if !v.answered() || v.Snapshot == nil {
		return "", false
	}
	stamp := StampOf(v.Snapshot.Config).Write
	return stamp, slices.ContainsFunc(s.Writes, func(w Write) bool { return w.Open() && w.ID == stamp })
}

// copied asks that the member, which is about to be deleted, is not the only other copy of the primary: another member holds what
// it holds, or a spare does. Without either a spare is made.
func (e carer) copied() (Move, bool) {
	s, now := e.st.Spares[e.c.Spare.String()], e.v.Member.Snapshot
	if id, ok := s.seen(e.v.Spare); ok {
		return closeSpare(e.st, s, id), false
	}
	switch {
	case e.otherCopy():
		return Move{}, true
	case s.ID == MemberID{}, e.v.Spare.Evidence == NotFound && (!s.open(WriteSpare) || e.v.SpareWaited >= spareLost):
		return e.makeSpare(), false
	case e.v.Spare.Evidence == NotFound:
		return e.wait(WriteOpen, "%s is the only other copy of %s: %s, a spare one, is on its way", e.c.Member, e.st.Primary, s.ID), false
	}
	shape, ok := e.v.Spare.shape()
	switch {
	case !ok:
		return e.wait(Unreachable, "%s, a spare copy of %s, does not answer (%s)", s.ID, e.st.Primary, e.v.Spare.Evidence), false
	case shape.Kind != ShapeMirror || shape.Upstream != s.Follow.Stream:
		return e.wait(ChangedOutside, "%s should be a spare copy of %s, and is %s, not by a write of ours: delete it, and it is made once more", s.ID, s.Follow, shape), false
	case !receives(e.v.Spare) || e.v.Spare.Snapshot.LastSeq < min(e.st.holds(e.m, now), newestOf(e.v.Newest, e.v.Primary.Snapshot.LastSeq)):
		return e.wait(InProgress, "%s is the only other copy of %s: %s, a spare one, is catching up first", e.c.Member, e.st.Primary, s.ID), false
	}
	return Move{}, true
}

// receives reports that a mirror hears from its upstream.
func receives(v View) bool {
	m := v.Snapshot.Mirror
	return m != nil && m.Active >= 0 && m.Active < receivingWithin
}

// makeSpare creates it, under a name that it keeps for as long as this care lasts.
func (e carer) makeSpare() Move {
	n := e.st.WriteSeq + 1
	id := e.c.Spare
	if id == (MemberID{}) {
		id = e.st.spareOf(e.c.Member, n)
	}
	w := Write{ID: NewWriteID(e.st.Epoch, WriteSpare, int(n)), Kind: WriteSpare, Member: id, Via: id.Site}
	external, err := e.st.prefixTo(e.sr, e.c.Member, e.st.Primary)
	if err == nil {
		w.Config, err = SpareConfig(e.m.Before, id, e.st.Primary, external, Stamp{Write: w.ID, Watchdog: e.node})
	}
	if err == nil {
		w.Shape, err = ShapeOf(w.Config)
	}
	if err != nil {
		return e.wait(ChangedOutside, "%s: %v", id, err)
	}
	return sendSpare(e.st, e.c.Member, w)
}

// SpareConfig is a mirror like the member that it stands in for, of which nobody reads: it does not answer for its upstream.
func SpareConfig(own json.RawMessage, id, upstream MemberID, external string, s Stamp) (json.RawMessage, error) {
	raw, err := MirrorConfig(own, id, upstream, external, nil, s)
	if err != nil {
		return nil, err
	}
	c := mustParse(raw)
	c.set("mirror_direct", false)
	return c.bytes(), nil
}

// SpareRefused is why a member waits whose spare the server refuses: for another copy, or for room.
func SpareRefused(st StreamState, id MemberID, why string) Reason {
	return reasonf(Unreachable, "%s is the only other copy of %s, and there is no room for a spare one (%s): it is copied anew when there is, or when another one can be reached", id, st.Primary, why)
}

func sendSpare(st StreamState, of MemberID, w Write) Move {
	return Move{Kind: MoveSend, Write: w, Spare: SpareCommand{Stream: st.Name, Epoch: st.Epoch, For: of, Spare: w.Member, Open: &w}}
}

func closeSpare(st StreamState, s Spare, id WriteID) Move {
	return Move{Kind: MoveSpare, Spare: SpareCommand{Stream: st.Name, Epoch: st.Epoch, Spare: s.ID, Close: id}}
}
