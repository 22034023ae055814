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

// otherCopy reports that the member may be deleted and copied anew without the primary being the only one meanwhile that holds
// what they share: another member that answers holds it, too.
func (e carer) otherCopy() bool {
	now := e.v.Member.Snapshot
	held := e.st.holds(e.m, now)
	late := now.FirstSeq + now.Messages/100 // what ages out between two looks
	for _, key := range sortedKeys(e.v.Others) {
		m, v := e.st.Members[key], e.v.Others[key]
		_, goes := m.openOf(WriteDelete)
		switch {
		case m.Deleted || goes:
		case !v.answered() || v.Snapshot == nil || !v.Snapshot.Created.Equal(m.Created) && !m.madeBy(*v.Snapshot):
		case e.st.holds(m, v.Snapshot) >= held && v.Snapshot.FirstSeq <= late:
			return true
		}
	}
	return false
}

// holds is up to which sequence a member is known to hold what the primary holds, of what has not aged out. A former primary may
// have returned with less than it had, and more since, until it was compared with the new one for its archive.
func (st StreamState) holds(m MemberState, now *Snapshot) uint64 {
	tail, last := st.Aftercare[m.ID.String()].Tail, st.Last
	drained := last != nil && last.planned() && last.From == m.ID && last.Epoch == m.Retired
	switch {
	case now == nil:
		return 0
	case !m.differs():
		return now.LastSeq
	case tail != nil:
		return min(now.LastSeq, tail.Fork)
	case m.ForkLimit > 0 && (m.Retired == 0 || drained):
		return min(now.LastSeq, m.ForkLimit)
	}
	return 0
}

// Others lists the members, but for the primary, that may hold what a member holds, and are to be looked at before that is deleted.
func (st StreamState) Others(id MemberID) []MemberID {
	var list []MemberID
	for _, key := range sortedKeys(st.Members) {
		m, r := st.Members[key], st.Round.Members[key]
		if m.ID != id && m.ID != st.Primary && !m.Deleted && (r.Reachable() || r.Evidence == NotFound) {
			list = append(list, m.ID)
		}
	}
	return list
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
