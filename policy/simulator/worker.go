package simulator

import (
	"slices"

	"github.com/understudy-ha/understudy/policy"
)

// stage is where a worker stands between two events: anything may happen in between.
type stage int

const (
	reading stage = iota
	acting
	sending
	closing
)

// worker carries one attempt, or one member's repair, on; it belongs to the term that hired it.
type worker struct {
	term   uint64
	repair *policy.MemberID // nil: the attempt, or a member's care
	care   policy.MemberID  // zero: the attempt, or a repair
	spare  policy.MemberID  // zero: none of the end of a spare copy
	stage  stage
	move   policy.Move
	how    policy.CloseHow
	copies bool // the network doubled the write
	// known goes to the log with the next commit, as in a switchover's strides.
	known []policy.Command
	phase policy.Phase // that the move is for
}

func (s *Sim) hire(repair *policy.MemberID) {
	same := func(w *worker) bool {
		return w.term == s.term && w.care == (policy.MemberID{}) && w.spare == (policy.MemberID{}) && (w.repair == nil) == (repair == nil) && (repair == nil || *w.repair == *repair)
	}
	if !slices.ContainsFunc(s.workers, same) {
		s.workers = append(s.workers, &worker{term: s.term, repair: repair})
	}
}

func (s *Sim) hireCare(id policy.MemberID) {
	if !slices.ContainsFunc(s.workers, func(w *worker) bool { return w.term == s.term && w.care == id }) {
		s.workers = append(s.workers, &worker{term: s.term, care: id})
	}
}

func (s *Sim) hireSpare(id policy.MemberID) {
	if !slices.ContainsFunc(s.workers, func(w *worker) bool { return w.term == s.term && w.spare == id }) {
		s.workers = append(s.workers, &worker{term: s.term, spare: id})
	}
}

// workSome lets one worker do its next bit.
func (s *Sim) workSome() {
	if len(s.workers) == 0 {
		return
	}
	i := s.rnd.IntN(len(s.workers))
	if !s.work(s.workers[i]) {
		s.workers = slices.Delete(s.workers, i, i+1)
	}
}

// work returns false when the worker is through.
func (s *Sim) work(w *worker) bool {
	leads := w.term == s.term && s.leader != ""
	switch w.stage {
	case reading:
		return s.read(w)
	case acting:
		return leads && s.actOn(w)
	case sending:
		return s.send(w, leads)
	}
	if !leads {
		return false
	}
	m := w.move.Write
	c := policy.Command{Close: &policy.CloseCommand{Stream: name, Member: m.Member, Write: m.ID, How: w.how,
		Only: !w.move.Resend && !w.copies}}
	w.stage = reading
	if w.move.Spare.Open != nil {
		if !w.copies { // one that may still come keeps it open
			_ = s.propose(policy.Command{Spare: &policy.SpareCommand{Stream: name, Spare: m.Member, Close: m.ID}})
		}
		return true
	}
	if w.how == policy.ClosedReplied && w.strides() && s.rnd.IntN(2) == 0 {
		w.known = append(w.known, c)
		return true
	}
	_ = s.commit(w, c)
	return true
}

// strides reports whether the worker carries an attempt on.
func (w *worker) strides() bool {
	return w.repair == nil && w.care == (policy.MemberID{}) && w.spare == (policy.MemberID{})
}

// commit logs a command, and before it what the worker knows; one after the other if the log does not take them together.
func (s *Sim) commit(w *worker, c ...policy.Command) error {
	list := append(w.known, c...)
	if w.known = nil; len(list) == 0 {
		return nil
	}
	err := s.propose(policy.Together(list))
	if err == nil || len(list) == 1 {
		return err
	}
	for _, c := range list {
		if err = s.propose(c); err != nil {
			return err
		}
	}
	return nil
}

// read takes the views and asks the policy for the next move.
func (s *Sim) read(w *worker) bool {
	st, node := s.st(), s.leader
	switch {
	case w.spare != (policy.MemberID{}):
		w.move = s.readSpare(st, w.spare)
	case w.care != (policy.MemberID{}):
		if !slices.Contains(policy.Cares(s.state, s.rules.Streams[name]), w.care) {
			return false
		}
		w.move = s.readCare(st, w.care)
	case w.repair != nil:
		via, here := w.repair.Site, s.rules.Watchdogs[node]
		e, snap := s.world.look(here, via, *w.repair)
		for _, beside := range st.SitesBeside(*w.repair) {
			if snap == nil {
				via = beside
				e, snap = s.world.look(here, via, *w.repair)
			}
		}
		w.move = policy.Repair(st, node, *w.repair, via, policy.View{Evidence: e, Snapshot: snap})
	default:
		if policy.Decide(s.rules, s.hash, node, s.state, name).Kind != policy.ActStep {
			return false
		}
		state := policy.Foresee(s.state, w.known)
		if st = state.Streams[name]; st.Attempt == nil {
			w.known = nil
			return false
		}
		stride := policy.MakeStride(state, name, node, s.views(st))
		w.move, w.known = stride.Move, append(w.known, stride.Before...)
		if a := stride.State.Attempt; a != nil {
			w.phase = a.Phase
		}
		if w.move.Kind == policy.MoveNone {
			_ = s.commit(w) // the attempt has ended with what is known
		}
	}
	w.stage = acting
	return w.move.Kind != policy.MoveNone
}

// actOn commits the move.
func (s *Sim) actOn(w *worker) bool {
	w.stage = reading
	switch w.move.Kind {
	case policy.MoveClose:
		_ = s.commit(w, policy.Command{Close: &w.move.Close})
		return true
	case policy.MoveCarried:
		_ = s.commit(w, policy.Command{Carry: &w.move.Carry})
		return true
	case policy.MoveResult:
		return s.result(w, w.move.Result)
	case policy.MoveCare:
		return s.cared(w.move.Care)
	case policy.MoveSpare:
		return s.propose(policy.Command{Spare: &w.move.Spare}) == nil && !w.move.Spare.Gone
	case policy.MoveFreeze, policy.MoveCarry:
		_ = s.commit(w)
		return s.carry(w.move.Kind)
	case policy.MoveRelease:
		_ = s.commit(w)
		s.released = s.st().Epoch
		return true
	}
	if w.move.Spare.Open != nil {
		if s.propose(policy.Command{Spare: &w.move.Spare}) != nil && s.o.Break != WriteUnlogged {
			return s.rnd.IntN(2) == 0
		}
	} else if !w.move.Resend {
		phase := policy.Phase("")
		switch {
		case w.care != (policy.MemberID{}):
			phase = s.st().Aftercare[w.care.String()].Phase
		case w.repair == nil:
			phase = w.phase
		}
		open := &policy.OpenCommand{Stream: name, Epoch: w.move.Write.ID.Epoch(), Phase: phase, Write: w.move.Write, Seen: w.move.Seen}
		opens := []policy.Command{{Open: open}}
		if ahead := w.move.Ahead; ahead != nil {
			opens = append(opens, policy.Command{Open: &policy.OpenCommand{Stream: name, Epoch: open.Epoch, Phase: phase, Write: *ahead}})
		}
		if s.commit(w, opens...) != nil && s.o.Break != WriteUnlogged {
			return s.rnd.IntN(2) == 0
		}
	}
	if w.move.Resend {
		_ = s.commit(w)
	}
	w.stage = sending
	return true
}

// cared commits what a phase of a care came to.
func (s *Sim) cared(c policy.CareCommand) bool {
	if c.Outcome == policy.OutcomeWaiting {
		if s.st().Aftercare[c.Member.String()].Waiting != c.Reason {
			s.log("care of %s: %s waits: %s", c.Member, c.Phase, c.Reason.Text)
			_ = s.propose(policy.Command{Care: &c})
		}
		return false
	}
	if s.propose(policy.Command{Care: &c}) == nil {
		s.log("care of %s: %s is %s: %s", c.Member, c.Phase, c.Outcome, c.Reason.Text)
	}
	return true
}

func (s *Sim) result(w *worker, r policy.ResultCommand) bool {
	if r.Outcome == policy.OutcomeWaiting {
		_ = s.commit(w)
		if st := s.st(); st.Attempt != nil && st.Attempt.Waiting != r.Reason {
			_ = s.propose(policy.Command{Result: &r})
		}
		if s.o.Break == AbortAfterPromote && r.Reason.Code == policy.TargetUnreachable {
			s.breakAbort()
		}
		return false
	}
	s.log("%s is %s: %s", r.Phase, r.Outcome, r.Reason.Text)
	_ = s.commit(w, policy.Command{Result: &r})
	return true
}

// breakAbort forgets an attempt whose target cannot be reached, promote or not: what the policy must never do.
func (s *Sim) breakAbort() {
	st := s.st()
	if st.Attempt == nil {
		return
	}
	s.log("MUTATION: epoch %d is forgotten", st.Attempt.Epoch)
	st.Attempt = nil
	s.state.Streams = map[string]policy.StreamState{name: st}
}

// send puts the write on the wire. A deposed leader's may have been past its check already.
func (s *Sim) send(w *worker, leads bool) bool {
	m := w.move.Write
	w.stage, w.copies = reading, false
	if !leads {
		if s.rnd.IntN(2) == 0 {
			s.log("deposed, sends %s late", m.ID)
			s.seen.sent(s, m)
			s.flying = append(s.flying, m)
		}
		return false
	}
	if !s.world.hears(s.rules.Watchdogs[s.leader], m.Via) {
		w.how, w.stage = policy.ClosedNotSent, closing
		if w.move.Resend {
			return false // an earlier copy may still arrive
		}
		return true
	}
	s.seen.sent(s, m)
	s.seen.lonely(s, m)
	weather := s.rnd.IntN(10)
	if s.calm {
		weather = 9
	}
	switch {
	case weather < 2: // delayed beyond the timeout
		s.flying = append(s.flying, m)
		return true
	case weather == 2: // lost
		return true
	case weather == 3: // twice
		s.flying, w.copies = append(s.flying, m), true
	case weather == 4: // the reply is lost
		s.deliver(m)
		return true
	}
	switch s.deliver(m) {
	case replied:
		w.how, w.stage = policy.ClosedReplied, closing
	case refused:
		w.how, w.stage = policy.ClosedRefused, closing
	}
	return true
}

func (s *Sim) deliver(w policy.Write) outcome {
	x := s.world.at(w.Member)
	before, held, created := s.world.shapeOf(x.meta), x.msgs, x.created
	o := s.world.deliver(w)
	after := s.world.shapeOf(x.meta)
	if (w.Kind == policy.WriteDelete || w.Kind == policy.WriteUnspare) && o == replied {
		s.seen.deleted(s, w, before.Kind == policy.ShapeMirror, held)
	}
	if !x.created.Equal(created) {
		s.log("write %s: %s is made anew, %s", w.ID, w.Member, after)
		return o
	}
	if !before.Equal(after) {
		s.log("write %s: %s was %s, is %s", w.ID, w.Member, before, after)
		s.seen.changed(s, w, before, after)
	}
	return o
}
