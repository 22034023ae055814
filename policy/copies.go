package policy

// What the care of one member asks of the others, so that the copies of a stream do not get scarce.

// remaking is a member that is being made anew: one at a time, so that copies of the stream never get scarce.
func (st StreamState) remaking(but MemberID) (MemberID, bool) {
	for _, key := range sortedKeys(st.Aftercare) {
		c := st.Aftercare[key]
		if c.Member != but && (c.Phase == PhaseCreate || c.Phase == PhaseCatchUp || c.DeleteOpened(st.Members[key])) {
			return c.Member, true
		}
	}
	return MemberID{}, false
}

// otherCopy asks that a mirror which is about to be deleted and copied anew is not the only other copy. One that is shorter than
// what it shares with the primary, as a former primary that lost its disks is, is none.
func (st StreamState) otherCopy(id MemberID) (Reason, bool) {
	for _, key := range sortedKeys(st.Members) {
		m, r := st.Members[key], st.Round.Members[key]
		if m.ID != id && m.ID != st.Primary && !m.Deleted && r.Reachable() && r.Now != nil && r.Now.LastSeq >= st.shared(id) {
			return Reason{}, true
		}
	}
	return reasonf(Unreachable, "%s is the only other copy of %s: it is copied anew when another one can be reached", id, st.Primary), false
}

// shared is up to which sequence a member holds, as far as the newest round knows, what the primary holds.
func (st StreamState) shared(id MemberID) uint64 {
	now, limit := st.Round.Members[id.String()].Now, st.Members[id.String()].ForkLimit
	switch {
	case now == nil:
		return 0
	case limit > 0:
		return min(now.LastSeq, limit)
	}
	return now.LastSeq
}

// strays finds a mirror that would copy from a former primary of its name again, and can be re-pointed before.
func (st StreamState) strays(sr StreamRules) (MemberID, bool) {
	for _, key := range sortedKeys(st.Members) {
		m := st.Members[key]
		if m.Stray > 0 && m.ID != st.Primary && sr.Repoint == RepointAuto && st.Round.Members[key].Reachable() {
			return m.ID, true
		}
	}
	return MemberID{}, false
}

// unparked finds a former primary that a member follows by its name, and that is seen with its old subjects: what the member
// holds would go on growing under the hand that deletes it.
func (st StreamState) unparked(mirror MemberID) (MemberID, bool) {
	shape, err := ShapeOf(st.Members[mirror.String()].Config)
	if err != nil {
		return MemberID{}, false
	}
	return st.captures(shape.Upstream)
}

// captures finds a former primary of a name that is seen with its old subjects: what follows it goes on growing.
func (st StreamState) captures(stream string) (MemberID, bool) {
	for _, key := range sortedKeys(st.Members) {
		if m := st.Members[key]; m.ID.Stream == stream && m.Retired > 0 && st.Round.Members[key].Evidence == Answered {
			return m.ID, true
		}
	}
	return MemberID{}, false
}
