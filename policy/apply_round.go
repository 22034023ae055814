package policy

import (
	"encoding/json"
	"maps"
	"time"
)

func applyRound(s State, c Command) (State, error) {
	s.Streams = maps.Clone(s.Streams)
	for _, name := range sortedKeys(c.Round.Streams) {
		old, known := s.Streams[name]
		if !known {
			old = s.Stream(c.Round.Rules[name])
			if old.Name != name {
				continue // neither the log nor the command knows its rules
			}
		}
		if c.Round.Term < old.Clock.Term || c.Round.Term == old.Clock.Term && c.Round.Number <= old.Clock.Round {
			continue // an older round of a deposed leader
		}
		st := old.clone()
		st.round(c, c.Round.Streams[name], c.Round.Intervals[name])
		s.noteRound(c.At, old, st)
		s.Streams[name] = st
	}
	return s, nil
}

// round takes one round of the stream: the clock first, then what was learned of the members.
func (st *StreamState) round(c Command, r StreamRound, interval time.Duration) {
	st.noteBlind(c.At, r)
	st.tick(c.Round.Term, c.Round.Number, r, clampIntervals*interval)
	if r.Agreement == AgreedUp {
		st.Approval = nil
	}
	for _, key := range sortedKeys(r.Members) {
		m := st.Members[key]
		if m.ID == (MemberID{}) {
			m.ID = memberOf(key)
		}
		st.Members[key] = m.learn(*st, r.Members[key], c.At)
		st.returnAgain(key)
		st.guard(c.At, m.ID, r.Members[key])
	}
	st.Round = r.withoutConfigs()
}

// tick moves the outage clock (design.md §4): an up sets it to 0, an agreed down adds witnessed time, anything else
// pauses it. No round adds more than most, so that neither a slow leader nor a gap between leaders can trip it.
func (st *StreamState) tick(term, number uint64, r StreamRound, most time.Duration) {
	k := &st.Clock
	newTerm := k.Term != term
	wasDown := st.Round.Agreement == AgreedDown && !newTerm
	// Healthy rounds are not logged: a term whose first logged round knows of an up one has seen nothing else since.
	wasUp := st.Round.Agreement == AgreedUp && !newTerm || newTerm && r.SinceUp > 0
	k.Term, k.Round = term, number
	switch r.Agreement {
	case AgreedUp:
		k.Outage, k.Agreed, k.Blind, k.WouldHave = 0, 0, 0, false
		return
	case AgreedDown:
		add := r.Elapsed
		if k.Outage == 0 {
			add = max(r.SinceUp, r.Elapsed)
		}
		add = min(max(add, 0), most)
		k.Outage += add
		switch {
		case wasDown:
			k.Agreed += add
		case wasUp:
			k.Agreed = add // as the clock: the outage began somewhere in between
		default:
			k.Agreed = 0
		}
		if len(r.LastUp) > 0 { // it lived until then, whatever was counted
			k.Outage, k.Agreed = min(k.Outage, r.LastUpAge), min(k.Agreed, r.LastUpAge)
		}
	default:
		k.Agreed = 0
	}
}

// noteBlind measures, at the begin of an outage and after a pause in it, for how long the primary may have gone on unseen
// (design.md §5: the estimated loss). Unlike the outage that time is not clamped: it makes a failover less likely. Of a
// primary that nobody remembers, restarted as all of them are, the log does.
func (st *StreamState) noteBlind(at time.Time, r StreamRound) {
	if r.Agreement != AgreedDown || st.Round.Agreement == AgreedDown {
		return
	}
	key := st.Primary.String()
	age := at.Sub(st.Members[key].BestAt)
	if best := r.Members[key].Best; best != nil {
		age = best.Age
	}
	st.Clock.Blind = max(age-st.Clock.Outage, 0)
}

// learn takes over what a round knows of a member. Another incarnation is accepted of a mirror that we never wrote;
// of any other member it is only noted.
func (m MemberState) learn(st StreamState, r MemberRound, at time.Time) MemberState {
	for _, s := range []*Snapshot{r.Best, r.Now} {
		if s == nil || !m.Former.IsZero() && s.Created.Equal(m.Former) {
			continue // none, or of an incarnation that we deleted
		}
		if !m.Created.IsZero() && !s.Created.Equal(m.Created) {
			if (m.Want != nil || m.ID == st.Primary) && !m.madeBy(*s) {
				m.Recreated, m.Gone = s.Created, m.Gone && s != r.Now
				continue
			}
			if m.Want == nil {
				m.Stray, m.ForkLimit, m.Follows = st.strayOf(m, *s), 0, MemberID{}
			}
			m.Best, m.BestAt, m.Config, m.ConfigSum = nil, time.Time{}, nil, ""
		} else if m.Created.IsZero() && m.Want == nil { // seen for the first time
			m.Stray = st.strayOf(m, *s)
		}
		m.Created = s.Created
		if s == r.Now {
			m.Recreated, m.Gone = time.Time{}, false
		}
		if s.Config != nil && (s == r.Now || m.Config == nil) {
			if otherUpstream(m.Config, s.Config) { // made anew by somebody: a mirror's upstream cannot be changed
				m.Stray, m.ForkLimit = 0, 0
			}
			m.Config, m.ConfigSum = s.Config, s.ConfigSum
		}
		if m.Best == nil || s.LastSeq >= m.Best.LastSeq {
			b := *s
			m.BestAt = at.Add(-b.Age)
			b.Config, b.Age = nil, 0
			m.Best = &b
		}
	}
	if shape, err := ShapeOf(m.Config); err == nil && shape.Kind == ShapeBound && m.ID == st.Primary && (m.Want == nil || shape.Equal(*m.Want)) {
		m.Original = m.Config
	}
	ours := m.Deleted || st.Attempt != nil && st.Attempt.DeleteOpened && m.ID == st.Attempt.From
	if r.Evidence == NotFound && m.ID == st.Primary && !ours {
		m.Gone = true
	}
	if r.Evidence == NotFound && m.Want == nil && m.ID != st.Primary {
		m.Config, m.ConfigSum = nil, ""
	}
	return m
}

// madeBy reports that an answer bears the create that the log wants: one that was sent twice may make the member twice, if
// a late delete comes in between.
func (m MemberState) madeBy(s Snapshot) bool {
	return m.Want != nil && m.Want.Kind == ShapeMirror && m.WantWrite != "" && StampOf(s.rawOr(m)).Write == m.WantWrite
}

// rawOr is the snapshot's config, which is left out where the log has it.
func (s Snapshot) rawOr(m MemberState) json.RawMessage {
	if s.Config == nil && s.ConfigSum == m.ConfigSum {
		return m.Config
	}
	return s.Config
}

// strayOf is the newest epoch for a mirror, new to us, that follows a member which is not the primary, else 0.
func (st StreamState) strayOf(m MemberState, s Snapshot) uint64 {
	if st.besidePrimary(st.Primary, m.ID, s.rawOr(m)) {
		return st.Epoch
	}
	return 0
}

// besidePrimary reports that a mirror, made by somebody, follows a member that is not the primary: what it copies from there
// the primary may lack.
func (st StreamState) besidePrimary(primary, id MemberID, raw json.RawMessage) bool {
	shape, err := ShapeOf(raw)
	if err != nil || shape.Kind != ShapeMirror || shape.Upstream == primary.Stream {
		return false
	}
	for _, m := range st.Members {
		if m.ID != id && m.ID.Stream == shape.Upstream {
			return true
		}
	}
	return false
}

func otherUpstream(old, now json.RawMessage) bool {
	was, err1 := ShapeOf(old)
	is, err2 := ShapeOf(now)
	return err1 == nil && err2 == nil && was.Kind == ShapeMirror && is.Kind == ShapeMirror && !was.Equal(is)
}

// guard keeps the account of a replaced origin that answers: when it was fenced, and what it captured until then.
func (st *StreamState) guard(at time.Time, id MemberID, r MemberRound) {
	m := st.Members[id.String()]
	epoch := m.Retired
	if a := st.Attempt; epoch == 0 && a != nil && a.PromoteOpened && id == a.From {
		epoch = a.Epoch // back before the failover has ended
	}
	if epoch == 0 || r.Now == nil || !r.Reachable() {
		return
	}
	shape, err := ShapeOf(m.Config)
	if err != nil {
		return
	}
	i := -1
	for j, c := range st.DualCapture {
		if c.Member == id && c.Fenced.IsZero() {
			i = j
		}
	}
	switch {
	case shape.Kind == ShapeBound && i < 0:
		st.DualCapture = append(st.DualCapture, Capture{Member: id, Epoch: epoch, SeenAt: at, FromSeq: r.Now.LastSeq})
	case shape.Kind == ShapeParked && i >= 0:
		st.DualCapture[i].Fenced, st.DualCapture[i].ToSeq = at, r.Now.LastSeq
	}
	if shape.Kind == ShapeParked && m.FencedAt.IsZero() {
		m.FencedAt = at
		st.Members[id.String()] = m
	}
}

// back takes in what the return guard has read of a member, before any round.
func (st *StreamState) back(s *State, at time.Time, id MemberID, now Snapshot) error {
	key, r := id.String(), MemberRound{Evidence: Answered, Now: &now}
	st.Members[key] = st.Members[key].learn(*st, r, at)
	if k, reason := stand(*st, id); k == foreign || k == lost {
		return refuse("%s", reason.Text)
	}
	known := len(st.DualCapture)
	st.guard(at, id, r)
	s.noteReturns(at, *st, known)
	return nil
}

// noteReturns enters the returns of which the history does not know: those beyond the first ones.
func (s *State) noteReturns(at time.Time, st StreamState, known int) {
	for _, c := range st.DualCapture[known:] {
		s.note(at, st.Name, c.Epoch, "origin_returned", reasonf(DualCapture, "%s answers again with its old subjects, at sequence %d", c.Member, c.FromSeq))
	}
}

// withoutConfigs drops the raw configs, which the members hold.
func (r StreamRound) withoutConfigs() StreamRound {
	r.Members = maps.Clone(r.Members)
	for key, m := range r.Members {
		m.Now, m.Best = bare(m.Now), bare(m.Best)
		r.Members[key] = m
	}
	return r
}

// WithConfigs returns a round's members with the raw configs that it leaves out because the log holds them.
func (s StreamState) WithConfigs(r StreamRound) map[string]MemberRound {
	members := make(map[string]MemberRound, len(r.Members))
	for key, m := range r.Members {
		if m.Now != nil && m.Now.Config == nil && m.Now.ConfigSum == s.Members[key].ConfigSum {
			now := *m.Now
			now.Config = s.Members[key].Config
			m.Now = &now
		}
		members[key] = m
	}
	return members
}

func bare(s *Snapshot) *Snapshot {
	if s == nil {
		return nil
	}
	b := *s
	b.Config = nil
	return &b
}

// noteRound enters into the history what a round changed for a person: the primary lost, down or back, a retired
// origin that answers again, and its fence.
func (s *State) noteRound(at time.Time, old, st StreamState) {
	was, is := old.Round.Agreement, st.Round.Agreement
	switch {
	case is == AgreedDown && was != AgreedDown:
		s.note(at, st.Name, st.Epoch, "origin_down", st.Round.Reason)
	case is == NotAgreed && (was == AgreedUp || was == ""):
		s.note(at, st.Name, st.Epoch, "origin_suspect", st.Round.Reason)
	case is == AgreedUp && was != AgreedUp && was != "" && st.Primary == old.Primary:
		s.note(at, st.Name, st.Epoch, "origin_recovered", st.Round.Reason)
	}
	s.noteReturns(at, st, len(old.DualCapture))
	for i, c := range old.DualCapture {
		if c.Fenced.IsZero() && !st.DualCapture[i].Fenced.IsZero() {
			c = st.DualCapture[i]
			s.note(at, st.Name, c.Epoch, "origin_fenced", reasonf(DualCapture, "%s is parked; it took up to %s since it was seen", c.Member, messages(c.ToSeq-min(c.FromSeq, c.ToSeq))))
		}
	}
	for _, key := range sortedKeys(st.Members) {
		m := st.Members[key]
		if m.Retired > 0 && !m.FencedAt.IsZero() && old.Members[key].FencedAt.IsZero() && len(st.DualCapture) == len(old.DualCapture) && !captured(st, m.ID) {
			s.note(at, st.Name, m.Retired, "origin_returned", reasonf(Healthy, "%s answers again, and is parked", m.ID))
		}
	}
}

func captured(st StreamState, id MemberID) bool {
	for _, c := range st.DualCapture {
		if c.Member == id {
			return true
		}
	}
	return false
}
