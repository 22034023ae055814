package policy

import "slices"

// open logs a write before it is sent; it enforces the write discipline of design.md §3.
func (st *StreamState) open(s *State, cmd Command) error {
	c := *cmd.Open
	w := c.Write
	if c.Epoch != st.Epoch {
		return refuse("the write is of epoch %d, the log is at %d", c.Epoch, st.Epoch)
	}
	m, ok := st.Members[w.Member.String()]
	if !ok {
		return refuse("%s is not a known member", w.Member)
	}
	if _, used := m.find(w.ID); used {
		return refuse("write id %s is used", w.ID)
	}
	if c.Seen != nil && c.Phase == "" {
		if err := st.back(s, cmd.At, w.Member, *c.Seen); err != nil {
			return err
		}
		m = st.Members[w.Member.String()]
	}
	if err := st.mayOpen(*s, c, m); err != nil {
		return err
	}
	st.WriteSeq++
	w.Seq, w.Closed = st.WriteSeq, ""
	m.Writes = append(m.Writes, w)
	if w.Kind != WriteDelete {
		shape := w.Shape
		m.Want, m.WantWrite = &shape, w.ID
	}
	a := st.Attempt
	switch w.Kind {
	case WritePark:
		if a != nil && w.Member == a.From {
			a.ParkOpened = true
		}
	case WritePromote:
		m.Promoted = max(m.Promoted, st.Epoch)
		a.PromoteOpened = true
	case WriteDelete:
		if a != nil && w.Member == a.From {
			a.DeleteOpened = true
		}
	case WriteBind:
		m.Original = w.Config
	}
	if _, cared := st.Aftercare[w.Member.String()]; cared {
		m.openedCare(st, w)
	}
	st.Members[w.Member.String()] = m
	return nil
}

// mayOpen says who may be written, by which kind, when.
func (st *StreamState) mayOpen(s State, c OpenCommand, m MemberState) error {
	a, w := st.Attempt, c.Write
	if held, _ := holding(s, *st); held && (a == nil || !a.PromoteOpened && !a.mustGoOn()) {
		return refuse("%s is held", st.Name)
	}
	inAttempt := a != nil && (w.Member == a.From || w.Member == a.Target)
	if care, has := st.Aftercare[w.Member.String()]; has && a == nil && c.Phase == care.Phase {
		return st.mayOpenInCare(care, w, m)
	}
	if inAttempt && c.Phase != a.Phase || !inAttempt && c.Phase != "" {
		return refuse("the attempt is not at %q", c.Phase)
	}
	if slices.Contains([]WriteKind{WriteUnpark, WriteDelete}, w.Kind) {
		if o, open := m.openExcept(WriteUnpark); open && w.Kind == WriteUnpark && o.Kind != WritePark {
			return refuse("write %s to it is open", o.ID)
		}
		if o, open := m.openExcept(); open && w.Kind == WriteDelete {
			return refuse("write %s to it is open", o.ID)
		}
	}
	if inAttempt {
		return st.mayOpenInAttempt(w)
	}
	return st.mayRepair(w, m)
}

func (st *StreamState) mayOpenInAttempt(w Write) error {
	a := st.Attempt
	allowed := map[WriteKind]struct {
		member MemberID
		phases []Phase
	}{
		WritePark:    {a.From, []Phase{PhaseFence, PhaseDrain, PhasePromote, PhaseSeed, PhaseConsumers, PhaseBind, PhaseVerify}},
		WriteDelete:  {a.From, []Phase{PhaseFence}},
		WritePromote: {a.Target, []Phase{PhasePromote, PhaseSeed, PhaseConsumers, PhaseBind}},
		WriteBind:    {a.Target, []Phase{PhaseBind, PhaseVerify}},
		WriteUnpark:  {a.From, []Phase{PhaseAborting}},
	}[w.Kind]
	ahead := w.Kind == WriteBind && a.Phase == PhasePromote && a.planned() && a.PromoteOpened
	if allowed.member != w.Member || !slices.Contains(allowed.phases, a.Phase) && !ahead {
		return refuse("a %s of %s has no place at %s", w.Kind, w.Member, a.Phase)
	}
	if name, open := a.openReset(); open && w.Kind == WriteBind {
		return refuse("the reset of consumer %s is open", name)
	}
	if w.Kind == WritePromote && !a.PromoteOpened {
		if reason, ok := st.evidenceStands(); !ok && !a.planned() {
			return refuse("the newest round does not agree that %s is down: %s", a.From, reason.Text)
		}
		if reason, ok := st.membersStand(a.From, a.Target); !ok {
			return refuse("%s: %s", reason.Code, reason.Text)
		}
	}
	if w.Kind == WriteDelete && a.Rules.Release != ReleaseDelete {
		return refuse("the config does not allow deleting %s", w.Member)
	}
	return nil
}

// mayRepair allows, outside of an attempt, only writes that bring a member to the shape that the log wants of it.
func (st *StreamState) mayRepair(w Write, m MemberState) error {
	kinds := map[ShapeKind][]WriteKind{ShapeParked: {WritePark}, ShapeBound: {WriteBind, WriteUnpark}}
	if m.Want == nil || !slices.Contains(kinds[m.Want.Kind], w.Kind) || !w.Shape.Equal(*m.Want) {
		return refuse("the log does not want %s to be %s", w.Member, w.Shape)
	}
	if w.Kind != WritePark && w.Member != st.Primary {
		return refuse("%s is not the primary", w.Member)
	}
	return nil
}

// close records that a write can change nothing any more.
func (st *StreamState) close(_ *State, cmd Command) error {
	c := *cmd.Close
	m := st.Members[c.Member.String()]
	i := slices.IndexFunc(m.Writes, func(w Write) bool { return w.ID == c.Write })
	if i < 0 || !m.Writes[i].Open() {
		return refuse("write %s to %s is not open", c.Write, c.Member)
	}
	w := &m.Writes[i]
	if w.Kind == WriteDelete && c.How == ClosedReplied && !c.Only { // a copy of it may still come, and remove what is made in its place
		m.removed()
		st.Members[c.Member.String()] = m
		return nil
	}
	w.Closed, w.Detail = c.How, c.Detail
	w.Config = nil // only its stamp matters from here on
	if w.Kind == WriteDelete && (c.How == ClosedReplied || c.How == ClosedSeen) {
		m.removed()
	}
	if w.Kind == WriteCreate && (c.How == ClosedReplied || c.How == ClosedSeen) {
		m.Deleted = false
	}
	undone := c.How == ClosedRefused || c.How == ClosedNotSent
	if a := st.Attempt; a != nil && w.Kind == WriteDelete && undone {
		a.DeleteOpened = false // it did nothing, and will not: the way back is free
	}
	if undone && c.Only { // its stamp will never be seen: writes that a server keeps refusing must not pile up
		m.Writes = slices.Delete(m.Writes, i, i+1)
	}
	st.Members[c.Member.String()] = m
	return nil
}

// removed notes that a delete of ours has shown its effect: answers of that incarnation, remembered somewhere, count no more.
func (m *MemberState) removed() {
	m.Deleted, m.Gone = true, false
	if !m.Created.IsZero() {
		m.Former = m.Created
	}
}
