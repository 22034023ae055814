package simulator

import (
	"github.com/understudy-ha/understudy/policy"
)

// record is what the checks remember of a run.
type record struct {
	targets   map[uint64]policy.MemberID // by epoch, once a promote of it was opened
	promoted  map[string]uint64          // by member: the epoch of the promotion that took effect
	deletes   map[string]int             // by member: how many deletes took effect
	Begun     int
	Done      int
	Aborted   int
	Abandoned int
	Adopted   int
}

func newRecord() record {
	return record{targets: map[uint64]policy.MemberID{}, promoted: map[string]uint64{}, deletes: map[string]int{}}
}

// command looks at what is about to be taken by the log.
func (r *record) command(s *Sim, c policy.Command) {
	switch {
	case c.Begin != nil:
		r.Begun++
	case c.Open != nil && c.Open.Write.Kind == policy.WritePromote:
		w := c.Open.Write
		if t, ok := r.targets[w.ID.Epoch()]; ok && t != w.Member {
			s.fail("S4: epoch %d promotes %s after %s", w.ID.Epoch(), w.Member, t)
		}
		r.targets[w.ID.Epoch()] = w.Member
	}
}

// sent looks at a write that leaves: it must be in the log, open or closed by its own earlier copy (S2).
func (r *record) sent(s *Sim, w policy.Write) {
	m := s.st().Members[w.Member.String()]
	for _, l := range m.Writes {
		if l.ID == w.ID {
			return
		}
	}
	s.fail("S2: write %s is sent, and not in the log", w.ID)
}

// changed looks at a write that took effect.
func (r *record) changed(s *Sim, w policy.Write, before, after policy.Shape) {
	key := w.Member.String()
	if before.Kind == policy.ShapeMirror && after.Kind != policy.ShapeMirror {
		if w.Kind != policy.WritePromote {
			s.fail("%s was promoted by a %s", w.Member, w.Kind)
		}
		r.promoted[key] = w.ID.Epoch()
		if len(r.promoted) > 1+r.Abandoned { // a person's word is the one way to a second target
			s.fail("S1: two mirrors are promoted: %v", r.promoted)
		}
	}
}

// mostWrites is how many writes to one member a run's log may hold: more means that refused ones pile up.
const mostWrites = 200

// check holds after every event.
func (s *Sim) check() {
	st := s.st()
	for _, m := range st.Members {
		if len(m.Writes) > mostWrites {
			s.fail("the log holds %d writes to %s", len(m.Writes), m.ID)
		}
	}
	if a := st.Attempt; a != nil && a.PromoteOpened && (a.Phase == policy.PhaseAborting || a.Phase == policy.PhaseAborted) {
		s.fail("epoch %d is aborted after its promote was opened", a.Epoch)
	}
}

// checkCalm holds once the weather has been fine for long.
func (s *Sim) checkCalm() {
	st := s.st()
	action := policy.Decide(s.rules, s.hash, s.leader, s.state, name)
	if excused(st, action) {
		return
	}
	if st.Attempt != nil {
		s.fail("epoch %d is still at %s after the calm: %+v", st.Attempt.Epoch, st.Attempt.Phase, st.Attempt.Waiting)
		return
	}
	var bound []policy.MemberID
	for _, id := range all {
		x := s.world.streams[id.String()]
		if x.meta != nil && s.world.shapeOf(x.local).Kind == policy.ShapeBound {
			bound = append(bound, id)
		}
	}
	if len(bound) != 1 || bound[0] != st.Primary {
		s.fail("after the calm %v hold the subjects; the primary is %s: %+v", bound, st.Primary, action.Reason)
	}
	if len(bound) == 1 && action.Reason.Code != policy.Healthy {
		s.fail("after the calm: %+v", action.Reason)
	}
	if debts := policy.Debts(s.state, s.rules.Streams[name]); len(debts) > 0 && !onlyOpenParks(st) {
		s.fail("after the calm these are not as wanted: %v", debts)
	}
}

// excused are the ends at which the design stands still and says so: a write that got lost for good and may not be
// repeated, or an origin that was deleted (release: delete) under an attempt that cannot go on.
func excused(st policy.StreamState, a policy.Action) bool {
	if at := st.Attempt; at != nil && at.DeleteOpened && at.Waiting.Code == policy.WriteOpen {
		return true
	}
	for _, w := range st.OpenWrites() {
		if w.Kind == policy.WriteDelete && a.Reason.Code == policy.WriteOpen {
			return true
		}
	}
	return false
}

// onlyOpenParks: a park that got lost stays open for ever, and is looked at for ever; it hinders nothing. Nor does what
// was sent to a target that was given up.
func onlyOpenParks(st policy.StreamState) bool {
	open := st.OpenWrites()
	for _, w := range open {
		if w.Kind != policy.WritePark && st.Members[w.Member.String()].Abandoned == 0 {
			return false
		}
	}
	return len(open) > 0
}
