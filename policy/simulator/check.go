package simulator

import (
	"slices"

	"github.com/understudy-ha/understudy/policy"
)

// record is what the checks remember of a run.
type record struct {
	targets   map[uint64]policy.MemberID // by epoch, once a promote of it was opened
	promoted  map[uint64]policy.MemberID // by epoch: the promotion that took effect
	looked    map[policy.WriteID]int     // how many messages its member held when a delete was decided on
	rejoined  int
	spared    int // spare copies deleted
	switched  int
	Begun     int
	Done      int
	Aborted   int
	Abandoned int
	Adopted   int
	ahead     int // fences ahead of the threshold
}

func newRecord() record {
	return record{targets: map[uint64]policy.MemberID{}, promoted: map[uint64]policy.MemberID{}, looked: map[policy.WriteID]int{}}
}

// command looks at what is about to be taken by the log.
func (r *record) command(s *Sim, c policy.Command) {
	for _, part := range c.All {
		r.command(s, part)
	}
	switch {
	case c.Begin != nil:
		if c.Begin.Attempt.Kind == policy.KindFence {
			r.ahead++
			return
		}
		r.Begun++
		if c.Begin.Attempt.Kind == policy.KindSwitchover {
			r.switched++
		}
	case c.Care != nil && c.Care.Phase == policy.PhaseCatchUp && c.Care.Outcome == policy.OutcomeDone:
		r.rejoined++
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
	key := w.Member.String()
	for _, l := range slices.Concat(s.st().Members[key].Writes, s.st().Spares[key].Writes) {
		if l.ID == w.ID {
			return
		}
	}
	s.fail("S2: write %s is sent, and not in the log", w.ID)
}

// lonely looks at a delete that leaves: the primary must not be the only copy after it.
func (r *record) lonely(s *Sim, w policy.Write) {
	c, cared := s.st().Aftercare[w.Member.String()]
	if w.Kind == policy.WriteUnspare {
		r.spared++
	}
	if w.Kind != policy.WriteDelete || !cared || c.Kind != policy.CareRepoint {
		return
	}
	p := s.world.streams[s.st().Primary.String()].msgs
	held := common(s.world.at(w.Member).msgs, p)
	for _, x := range s.world.streams {
		if x.id != w.Member && x.id != s.st().Primary && x.meta != nil && common(x.msgs, p) >= held {
			return
		}
	}
	s.fail("%s is deleted by %s, and is the only copy beside the primary", w.Member, w.ID)
}

// common is how many messages two streams have alike from their beginning on.
func common(a, b []int) (n int) {
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// changed looks at a write that took effect.
func (r *record) changed(s *Sim, w policy.Write, before, after policy.Shape) {
	if before.Kind != policy.ShapeMirror || after.Kind == policy.ShapeMirror || w.Kind == policy.WriteDelete || w.Kind == policy.WriteUnspare {
		return
	}
	if w.Kind != policy.WritePromote && w.ID.Epoch() >= s.st().Epoch && !s.outdated(w) {
		s.fail("%s was promoted by a %s", w.Member, w.Kind)
	}
	if w.Kind == policy.WritePromote {
		if t, ok := r.promoted[w.ID.Epoch()]; ok && t != w.Member {
			s.fail("S1: epoch %d promoted %s and %s", w.ID.Epoch(), t, w.Member)
		}
		r.promoted[w.ID.Epoch()] = w.Member
	}
}

// outdated reports that a write was for the stream that its member was before it was made anew: what it does is put right.
func (s *Sim) outdated(w policy.Write) bool {
	m := s.st().Members[w.Member.String()]
	for _, l := range m.Writes {
		if l.Kind == policy.WriteCreate && l.Seq > w.Seq {
			return true
		}
	}
	return false
}

// deleted looks at a delete that took effect: what was on the stream must be on the primary, or archived (S7). A mirror may
// have copied more between the look and the delete, from a stream that stands.
func (r *record) deleted(s *Sim, w policy.Write, mirror bool, held []int) {
	st := s.st()
	s.log("write %s: %s is deleted", w.ID, w.Member)
	if a := st.Attempt; a != nil && a.From == w.Member || st.Last != nil && w.ID.Epoch() < st.Epoch && st.Last.From != w.Member {
		for _, id := range held { // release: delete
			s.world.wiped[id] = true
		}
		return
	}
	if w.Member == st.Primary {
		s.fail("the primary %s was deleted by %s", w.Member, w.ID)
	}
	for i, id := range held {
		copied := mirror && i >= r.looked[w.ID] // since the look
		if !s.safe(id) && !s.world.wiped[id] && !(copied && s.held(id)) {
			s.fail("S7: message %d was on %s only, and is deleted by %s", id, w.Member, w.ID)
			return
		}
	}
}

// safe reports that a message is on the primary or in an archive.
func (s *Sim) safe(id int) bool {
	if slices.Contains(s.world.streams[s.st().Primary.String()].msgs, id) {
		return true
	}
	for _, a := range s.world.archive {
		if slices.Contains(a.msgs, id) {
			return true
		}
	}
	return false
}

// held reports that a message is on some stream.
func (s *Sim) held(id int) bool {
	for _, x := range s.world.streams {
		if x.meta != nil && slices.Contains(x.msgs, id) {
			return true
		}
	}
	return false
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
	s.checkMessages()
	s.checkMirrors()
	s.checkSpares()
	if debts := policy.Debts(s.state, s.rules.Streams[name]); len(debts) > 0 && !s.onlyOpenParks() {
		s.fail("after the calm these are not as wanted: %v; open: %v", debts, openIDs(st))
	}
}

// checkMessages: every message that was acked is on the primary, archived, or still on a member (S6).
func (s *Sim) checkMessages() {
	for id := range s.world.acked {
		if !s.world.wiped[id] && !s.safe(id) && !s.held(id) {
			s.fail("S6: message %d was acked, and is nowhere", id)
			return
		}
	}
}

// checkMirrors: after the calm every other member follows the primary again.
func (s *Sim) checkMirrors() {
	st := s.st()
	if s.o.Rejoin != policy.RejoinAuto || s.o.Hands { // what a person deleted does not come back by itself
		return
	}
	p := s.world.streams[st.Primary.String()]
	for _, id := range all {
		if x := s.world.streams[id.String()]; id != st.Primary && s.world.upstream(x) != p {
			s.fail("after the calm %s is %s, and does not follow %s: care %+v", id, s.world.shapeOf(x.local), st.Primary, st.Aftercare[id.String()])
		}
	}
}

// checkSpares: after the calm no spare copy is left, but for a member that waits for a person, or of a log that was lost without
// anything that needed an adoption since.
func (s *Sim) checkSpares() {
	if s.st().SearchEpoch() == 0 {
		return
	}
	for key, x := range s.world.streams {
		needed := s.st().Aftercare[s.st().Spares[key].For.String()].Spare == x.id
		if x.meta != nil && !slices.Contains(all, x.id) && !needed {
			s.fail("after the calm the spare copy %s is still there: %+v", key, s.st().Spares[key])
		}
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
// was sent to a target that was given up. A lost delete beside one that arrived, or a lost promote of a target that was given up
// and made anew, with the bind that was logged ahead, keeps its member from being a candidate.
func (s *Sim) onlyOpenParks() bool {
	st := s.st()
	open := st.OpenWrites()
	for _, w := range open {
		if w.Kind == policy.WriteSeal && s.world.at(w.Member).meta == nil {
			continue // of an origin that somebody deleted
		}
		ahead := w.Kind == policy.WriteBind && slices.ContainsFunc(open, func(o policy.Write) bool { return o.Kind == policy.WritePromote && o.Member == w.Member })
		mayStay := w.Kind == policy.WriteDelete || w.Kind == policy.WritePromote || ahead
		if w.Kind != policy.WritePark && !(mayStay && w.Member != st.Primary) && st.Members[w.Member.String()].Abandoned == 0 {
			return false
		}
	}
	return len(open) > 0
}

func openIDs(st policy.StreamState) []policy.WriteID {
	var ids []policy.WriteID
	for _, w := range st.OpenWrites() {
		ids = append(ids, w.ID)
	}
	return ids
}
