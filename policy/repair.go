package policy

import (
	"slices"
	"time"
)

// Debts lists the members of a stream that are, by its newest logged round, not what the log wants although they can
// be reached: a returned origin that is not parked, a primary that a late write took back. The leader repairs them,
// whenever, until none is left (write discipline, rule 3). Members of a running attempt are the attempt's business.
func Debts(s State, sr StreamRules) []MemberID {
	st := s.Stream(sr)
	var ids []MemberID
	for _, id := range mayMend(s, st, sr) {
		if !st.Round.Members[id.String()].Reachable() {
			continue
		}
		if k, _ := stand(st, id); k == repairable || k == writing {
			ids = append(ids, id)
		}
		_, cared := st.Aftercare[id.String()]
		if _, open := st.Members[id.String()].openExcept(); open && !cared && !slices.Contains(ids, id) {
			ids = append(ids, id) // its effect may be there to see
		}
	}
	return ids
}

// Awaited lists the members that owe their fence, and that nobody has seen back: a former primary, or a target that was given up.
// They may take messages from the moment on at which they answer.
func Awaited(s State, sr StreamRules) []MemberID {
	st := s.Stream(sr)
	var ids []MemberID
	for _, id := range mayMend(s, st, sr) {
		m, r := st.Members[id.String()], st.Round.Members[id.String()]
		if m.Retired > 0 && m.FencedAt.IsZero() && !m.Deleted && !r.Reachable() && r.Evidence != NotFound {
			ids = append(ids, id)
		}
	}
	return ids
}

// mayMend lists the members that may be written to outside of an attempt: none while the stream is held, nor those of the attempt.
func mayMend(s State, st StreamState, sr StreamRules) []MemberID {
	if s.Held(sr.Name) {
		return nil
	}
	return slices.DeleteFunc(watched(st, sr), func(id MemberID) bool {
		a := st.Attempt
		return a != nil && (id == a.From || id == a.Target)
	})
}

// SitesBeside lists the sites through which a member can be read and written when its own entry point does not answer:
// those of members that are known to share its meta group.
func (st StreamState) SitesBeside(id MemberID) []string {
	var found []string
	for _, key := range sortedKeys(st.Members) {
		if m := st.Members[key]; m.ID.Site != id.Site && !slices.Contains(found, m.ID.Site) && st.shareMeta(id, m.ID) {
			found = append(found, m.ID.Site)
		}
	}
	return found
}

// shareMeta says whether two members are known to share a meta group: one mirrors the other without an API prefix, or an
// attempt found them so. A promoted mirror no longer says where its origin lives.
func (st StreamState) shareMeta(a, b MemberID) bool {
	for _, at := range []*Attempt{st.Attempt, st.Last} {
		if at != nil && at.Shared && (at.From == a && at.Target == b || at.From == b && at.Target == a) {
			return true
		}
	}
	if slices.Contains(st.Members[a.String()].SharesMeta, b) || slices.Contains(st.Members[b.String()].SharesMeta, a) {
		return true
	}
	follows := func(mirror, of MemberID) bool {
		s, err := ShapeOf(st.Members[mirror.String()].Config)
		return err == nil && s.Kind == ShapeMirror && s.External == "" && s.Upstream == of.Stream
	}
	return follows(a, b) || follows(b, a)
}

// Repair is the next move for one such member, given a live reading of it through the site via.
func Repair(st StreamState, node string, id MemberID, via string, v View) Move {
	m := repair(st, node, id, v)
	if m.Kind == MoveSend {
		m.Write.Via = via
	}
	return m
}

func repair(st StreamState, node string, id MemberID, v View) Move {
	views := Views{Members: map[string]View{id.String(): v}}
	if m, ok := closeSeen(st, views); ok {
		return m
	}
	shape, ok := v.shape()
	m := st.Members[id.String()]
	a := st.Attempt
	if begun := a != nil && (id == a.From || id == a.Target); begun || !ok || m.Want == nil || shape.Kind == ShapeMirror {
		return Move{Kind: MoveNone}
	}
	if shape.Equal(*m.Want) {
		return resendOpen(m)
	}
	m = m.learn(st, MemberRound{Evidence: v.Evidence, Now: v.Snapshot}, time.Time{})
	st = st.clone()
	st.Members[id.String()] = m
	if k, _ := stand(st, id); k != repairable && k != writing {
		return Move{Kind: MoveNone}
	}
	kind := repairKind(m)
	for _, w := range m.Writes {
		if w.Open() && w.Kind == kind && kind.repeatable() {
			return Move{Kind: MoveSend, Write: w, Resend: true}
		}
	}
	w, err := compose(st, node, kind, id, v.Snapshot.Config, nil)
	if err != nil || !w.Shape.Equal(*m.Want) {
		return Move{Kind: MoveNone}
	}
	w.Repair = true
	move := Move{Kind: MoveSend, Write: w}
	if m.Retired > 0 && !st.Round.Members[id.String()].Reachable() {
		move.Seen = v.Snapshot
	}
	return move
}

// resendOpen sends an open write again whose member is already as it would make it, by another write: only its own
// effect closes it, and as long as it is open it stands in the way of others. A care sends its own writes itself, and
// takes its copy for the only one.
func resendOpen(m MemberState) Move {
	for _, w := range m.Writes {
		ofCare := w.Kind == WriteSeal || w.Kind == WriteCreate
		if w.Open() && w.Kind.repeatable() && !ofCare && w.Shape.Equal(*m.Want) {
			return Move{Kind: MoveSend, Write: w, Resend: true}
		}
	}
	return Move{Kind: MoveNone}
}

// repairKind: an origin that we only ever parked is unparked with its own age limit; a promoted stream is bound.
func repairKind(m MemberState) WriteKind {
	switch {
	case m.Want.Kind == ShapeParked:
		return WritePark
	case m.Promoted > 0:
		return WriteBind
	}
	return WriteUnpark
}

// Worth reports whether a round must be logged: something is not up, was not up, changed, or is still owed. Rounds of
// a stream that is and stays healthy are not, and cost the log nothing.
func Worth(s State, sr StreamRules, r StreamRound) bool {
	st, known := s.Streams[sr.Name]
	if !known || st.Attempt != nil || r.Agreement != AgreedUp || st.Round.Agreement != AgreedUp {
		return true
	}
	if r.Reason.Code != st.Round.Reason.Code || hashes(r) != hashes(st.Round) || len(st.openWrites()) > 0 {
		return true
	}
	for key, m := range r.Members {
		old := st.Members[key]
		if m.Evidence != st.Round.Members[key].Evidence || m.Now != nil && (m.Now.ConfigSum != old.ConfigSum || !m.Now.Created.Equal(old.Created)) {
			return true
		}
	}
	return len(Debts(s, sr)) > 0
}

func hashes(r StreamRound) string {
	text := ""
	for _, v := range r.Votes {
		if v.Fresh {
			text += v.ConfigHash + " "
		}
	}
	return text
}
