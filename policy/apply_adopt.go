package policy

import (
	"slices"
	"time"
)

// adopt carries an adoption out.
func (st *StreamState) adopt(s *State, c Command) error {
	a, err := newAdopter(*st, *c.Adopt)
	if err != nil {
		return err
	}
	a.st = st.clone() // as it was: what follows judges by it
	for _, x := range a.plan.Members {
		st.Members[x.ID.String()] = a.member(x, c.At)
		if x.Role != RoleCared && x.Role != RoleUnseen {
			delete(st.Aftercare, x.ID.String())
		}
	}
	if !a.samePrimary() {
		st.leaveSpares(a.plan.Epoch, 0)
	}
	st.Primary, st.Epoch, st.Adopted = a.plan.Primary, a.plan.Epoch, a.plan.Epoch
	st.Clock, st.Round, st.Approval = Clock{Term: st.Clock.Term, Round: st.Clock.Round}, StreamRound{}, nil
	st.endAdopted(s, c)
	st.dropSpares(s, c.At)
	st.endCaptures(c.At)
	s.note(c.At, st.Name, st.Epoch, "adopted", Reason{Code: Healthy, Text: c.Adopt.By + " took over what is there: " + a.plan.String()})
	return nil
}

// endAdopted ends an attempt that had promoted nothing.
func (st *StreamState) endAdopted(s *State, c Command) {
	if st.Attempt == nil {
		return
	}
	ended := *st.Attempt
	ended.Phase, ended.EndedAt = PhaseAborted, c.At
	ended.Waiting = reasonf(ChangedOutside, "%s took over what is there", c.Adopt.By)
	st.Attempt, st.Last = nil, &ended
	s.note(c.At, st.Name, ended.Epoch, string(ended.Kind)+"_aborted", ended.Waiting)
}

// endCaptures ends the account of those that are retired no more.
func (st *StreamState) endCaptures(at time.Time) {
	for i, d := range st.DualCapture {
		if d.Fenced.IsZero() && st.Members[d.Member.String()].Retired == 0 {
			st.DualCapture[i].Fenced = at
		}
	}
}

// member is the new state of one member.
func (a adopter) member(x Adopted, at time.Time) MemberState {
	m := a.st.Members[x.ID.String()]
	m.ID = x.ID
	if x.Role == RoleCared {
		return m
	}
	if a.read(x.ID) {
		m = m.closedByPerson()
	}
	if _, seen := a.shapes[x.ID]; seen {
		m = m.seenAs(*a.c.Members[x.ID.String()].Now, at)
	}
	switch x.Role {
	case RolePrimary:
		return a.primary(m)
	case RoleMirror:
		return a.strays(a.mirror(m))
	case RoleRetired:
		return a.retired(m, at)
	case RoleForgotten:
		return MemberState{ID: m.ID, Writes: m.Writes, Promoted: m.Promoted, SharesMeta: m.SharesMeta}
	}
	return a.strays(m)
}

// closedByPerson closes the open writes to a member.
func (m MemberState) closedByPerson() MemberState {
	m.Writes = slices.Clone(m.Writes)
	for i := range m.Writes {
		if w := &m.Writes[i]; w.Open() {
			w.Closed, w.Config = ClosedOperator, nil
		}
	}
	return m
}

// seenAs takes over a member's incarnation and config as they are.
func (m MemberState) seenAs(now Snapshot, at time.Time) MemberState {
	if m.Best == nil || !now.Created.Equal(m.Created) || now.LastSeq >= m.Best.LastSeq {
		best := now
		best.Config, best.Age = nil, 0
		m.Best, m.BestAt = &best, at.Add(-now.Age)
	}
	if !now.Created.Equal(m.Created) {
		m.Stray, m.ForkLimit, m.Follows = 0, 0, MemberID{}
	}
	if now.Created.Equal(m.Former) {
		m.Former = time.Time{}
	}
	m.Created, m.Recreated, m.Gone, m.Deleted = now.Created, time.Time{}, false, false
	m.Config, m.ConfigSum = now.Config, Sum(now.Config)
	return m
}

// primary makes a member the primary. One that we never wrote is left as free as an origin is; one that lacks the subjects
// gets them by repair.
func (a adopter) primary(m MemberState) MemberState {
	m.Retired, m.Abandoned, m.FencedAt = 0, 0, time.Time{}
	m.Stray, m.ForkLimit, m.Follows = 0, 0, MemberID{}
	if m.Promoted == 0 && (m.ID != a.c.Rules.Origin || !a.isBound(m.ID)) {
		m.Promoted = a.plan.Epoch // somebody promoted it: subjects are bound, not given back
	}
	if !a.isBound(m.ID) {
		m.Want, m.WantWrite = &Shape{Kind: ShapeBound, Subjects: a.subjects}, ""
		return m
	}
	m.Original = m.Config
	m.Want, m.WantWrite = nil, ""
	if len(m.Writes) > 0 || StampOf(m.Config).Write != "" {
		m = m.wantAsIs(a.shapes[m.ID])
	}
	return m
}

// mirror makes a member a mirror like any other; one that we created as it is remains ours.
func (a adopter) mirror(m MemberState) MemberState {
	m.Retired, m.Abandoned, m.FencedAt, m.Original = 0, 0, time.Time{}, nil
	if ours := m.Follows != (MemberID{}) && m.Want != nil && a.shapes[m.ID].Equal(*m.Want); !ours {
		m.Want, m.WantWrite, m.Follows = nil, "", MemberID{}
	}
	return m
}

// wantAsIs wants a member as it is: by the write whose mark it bears, or by none.
func (m MemberState) wantAsIs(shape Shape) MemberState {
	m.Want, m.WantWrite = &shape, StampOf(m.Config).Write
	if m.WantWrite == "" {
		m.WantWrite = adoptedBare
	}
	return m
}

// retired makes a member one that is fenced whenever it answers.
func (a adopter) retired(m MemberState, at time.Time) MemberState {
	m.Stray, m.Follows = 0, MemberID{}
	if !a.samePrimary() {
		m.ForkLimit = 0
	}
	if m.Retired == 0 {
		m.Retired, m.ForkLimit, m.Follows = a.plan.Epoch, 0, MemberID{}
	}
	shape, seen := a.shapes[m.ID]
	switch {
	case seen && shape.Kind == ShapeParked:
		m = m.wantAsIs(shape)
		if m.FencedAt.IsZero() {
			m.FencedAt = at
		}
		return m
	case !m.Recreated.IsZero(): // the incarnation that was seen last
		m.Created, m.Recreated, m.Best, m.BestAt = m.Recreated, time.Time{}, nil, time.Time{}
	}
	m.Gone, m.FencedAt = false, time.Time{}
	if seen || m.Want == nil || m.Want.Kind != ShapeParked {
		m.Want, m.WantWrite = &Shape{Kind: ShapeParked, Subjects: []string{ParkSubject(m.ID)}}, ""
	}
	return m
}

// strays marks a mirror that followed the primary of before: its name alone does not make it a copy of the new one, even if
// that bears the same. Its next incarnation is a mirror of the new one.
func (a adopter) strays(m MemberState) MemberState {
	before, same := a.st.Members[m.ID.String()], a.samePrimary()
	if !same {
		m.ForkLimit = 0 // where it parts from the new primary is not known
	}
	switch remade := m.Created.IsZero() || !m.Created.Equal(before.Created); {
	case remade && a.st.besidePrimary(a.plan.Primary, m.ID, m.Config):
		m.Stray = a.plan.Epoch
	case remade || same:
	case before.Stray > 0 || m.Follows == a.st.Primary || directMirror(a.st, a.c.Rules, m.ID, &Snapshot{Config: m.Config}):
		m.Stray = a.plan.Epoch
	}
	return m
}

// samePrimary reports that the primary is the one that it was, in the same incarnation.
func (a adopter) samePrimary() bool {
	old, now := a.st.Members[a.st.Primary.String()], a.c.Members[a.plan.Primary.String()].Now
	return a.plan.Primary == a.st.Primary && (old.Created.IsZero() || old.Created.Equal(now.Created))
}

// alone reports that a member is left as it is, in whatever is under way to it: we deleted it, or its care goes on since
// nobody has changed it, nor the primary.
func (a adopter) alone(id MemberID) bool {
	key := id.String()
	m, r := a.st.Members[key], a.c.Members[key]
	_, cared := a.st.Aftercare[key]
	_, deleting := m.openOf(WriteDelete)
	switch {
	case id == a.plan.Primary || id == a.st.Primary:
		return false
	case r.Evidence == NotFound: // unless what a person made of it, or in its place, is what is gone
		if !m.Deleted && !(cared && deleting) || !m.Recreated.IsZero() {
			return false
		}
	case !cared || !a.samePrimary():
		return false
	case r.Reachable() && r.Now != nil:
		if !r.Now.Created.Equal(m.Created) && !m.madeBy(*r.Now) {
			return false
		}
		m.Config = r.Now.Config
	}
	st := a.st.clone()
	st.Members[key] = m
	k, _ := stand(st, id)
	return k != foreign && k != lost
}
