package simulator

import (
	"slices"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/policy"
)

// The traces that broke an earlier design, as scripts: a late write meets a state that has gone on without it.

// failedOver plays an undisturbed failover of the origin, and returns with it done.
func failedOver(t *testing.T, o Options) *Sim {
	t.Helper()
	s := healthy(o)
	s.world.up["east"] = false
	s.settle(30)
	if st := s.st(); st.Primary == origin || st.Attempt != nil || s.err != nil {
		t.Fatalf("no failover: %+v %v", st.Attempt, s.err)
	}
	return s
}

func healthy(o Options) *Sim {
	s := New(o)
	s.calm = true // a quiet network
	s.elect()
	s.leader = "wd-west"
	s.settle(3)
	return s
}

// settle gives the group some rounds, and all the work that comes of them.
func (s *Sim) settle(rounds int) {
	for range rounds {
		s.doRound()
		for i := 0; i < 100 && len(s.workers) > 0; i++ {
			s.workSome()
			s.check()
		}
	}
}

// sentTo finds the writes of a kind that were logged for a member. Closed ones have lost their config; it is kept here.
func logged(s *Sim, id policy.MemberID, kind policy.WriteKind) []policy.Write {
	var list []policy.Write
	for _, w := range s.st().Members[id.String()].Writes {
		if w.Kind == kind {
			list = append(list, w)
		}
	}
	return list
}

// heldUp lets the group work until a write of a kind to a member is logged, and keeps that one from leaving.
func (s *Sim) heldUp(t *testing.T, id policy.MemberID, kind policy.WriteKind) policy.Write {
	t.Helper()
	for range 2000 {
		if len(s.workers) == 0 {
			s.doRound()
			continue
		}
		w := s.workers[0]
		if m := w.move.Write; w.stage == sending && m.Kind == kind && m.Member == id {
			s.workers = nil
			return m
		}
		if !s.work(w) {
			s.workers = s.workers[1:]
		} else { // the others have their turn, too
			s.workers = append(s.workers[1:], w)
		}
	}
	t.Fatalf("no %s of %s was logged", kind, id)
	return policy.Write{}
}

// answered delivers a write, whose answer reaches the leader.
func (s *Sim) answered(t *testing.T, w policy.Write) {
	t.Helper()
	s.deliver(w)
	if err := s.propose(policy.Command{Close: &policy.CloseCommand{Stream: name, Member: w.Member, Write: w.ID, How: policy.ClosedReplied, Only: true}}); err != nil {
		t.Fatal(err)
	}
}

// follows reports that a member is a mirror of the primary again, with all that it holds.
func follows(s *Sim, id policy.MemberID) bool {
	p := s.world.streams[s.st().Primary.String()]
	m := s.world.streams[id.String()]
	return s.world.upstream(m) == p && slices.Equal(m.msgs, p.msgs)
}

func shape(s *Sim, id policy.MemberID) policy.Shape {
	return s.world.shapeOf(s.world.streams[id.String()].local)
}

// TestLatePromoteIsRepaired: a copy of the promote arrives after the bind and takes the primary back to its parked
// subject. It is bound again.
func TestLatePromoteIsRepaired(t *testing.T) {
	for _, shared := range []bool{false, true} {
		s := failedOver(t, Options{Shared: shared})
		primary := s.st().Primary
		late := logged(s, primary, policy.WritePromote)[0]
		mirror := newWorld(shared).streams[primary.String()].meta
		config, err := policy.PromoteConfig(mirror, s.st().Last.Origin, primary, policy.Stamp{Write: late.ID, Watchdog: "wd-west"})
		if err != nil {
			t.Fatal(err)
		}
		late.Config = config
		s.deliver(late)
		if got := shape(s, primary).Kind; got != policy.ShapeParked {
			t.Fatalf("the late promote did not take effect: %s", got)
		}
		s.settle(5)
		if got := shape(s, primary); got.Kind != policy.ShapeBound || s.err != nil {
			t.Errorf("shared=%v: the primary is %s after the repair: %v", shared, got, s.err)
		}
	}
}

// TestLateParkIsRepaired: the park of an attempt that was aborted arrives after the origin's return. The origin gets its
// subjects back.
func TestLateParkIsRepaired(t *testing.T) {
	s := healthy(Options{Shared: true})
	s.world.up["east"] = false
	park := s.heldUp(t, origin, policy.WritePark)
	s.world.up["east"] = true
	s.settle(5)
	if a := s.st().Last; a == nil || a.Phase != policy.PhaseAborted {
		t.Fatalf("not aborted: %+v", s.st().Attempt)
	}
	s.deliver(park)
	if got := shape(s, origin).Kind; got != policy.ShapeParked {
		t.Fatalf("the late park did not take effect: %s", got)
	}
	s.settle(5)
	if got := shape(s, origin); got.Kind != policy.ShapeBound || !slices.Equal(got.Subjects, []string{subject}) {
		t.Errorf("the origin is %s after the repair", got)
	}
}

// TestLateUnparkHoldsTheNextFailover: while an unpark is open, nothing begins: it could bind the old origin beside a new
// primary.
func TestLateUnparkHoldsTheNextFailover(t *testing.T) {
	s := healthy(Options{Shared: true})
	st := s.st()
	m := st.Members[origin.String()]
	want := s.world.shapeOf(m.Original)
	m.Want, m.WantWrite = &want, "1.unpark.9"
	m.Writes = append(slices.Clone(m.Writes), policy.Write{ID: "1.unpark.9", Kind: policy.WriteUnpark, Member: origin, Seq: 9, Shape: want})
	st.Members[origin.String()] = m
	st.Epoch, st.WriteSeq = 1, 9
	s.state.Streams = map[string]policy.StreamState{name: st}
	s.world.up["east"] = false
	s.settle(20)
	a := policy.Decide(s.rules, s.hash, s.leader, s.state, name)
	if a.Reason.Code != policy.WriteOpen || s.st().Primary != origin {
		t.Errorf("with an open unpark: %+v, primary %s", a.Reason, s.st().Primary)
	}
}

// TestDeleteIsSentOnce: with release: delete, the delete of a known-offline origin is never sent a second time: the
// stream may have been made anew meanwhile.
func TestDeleteIsSentOnce(t *testing.T) {
	s := healthy(Options{Shared: true, Release: policy.ReleaseDelete})
	s.world.up["east"], s.world.offline["east"] = false, true
	s.settle(30)
	if got := len(logged(s, origin, policy.WriteDelete)); got != 1 {
		t.Errorf("%d deletes were logged, want 1", got)
	}
	if st := s.st(); st.Primary == origin || s.world.streams[origin.String()].meta != nil {
		t.Errorf("primary %s, origin deleted: %v", st.Primary, s.world.streams[origin.String()].meta == nil)
	}
}

// TestRejoinedByHandIsLeftAlone: a retired origin that a person deleted and made anew as a mirror of the new primary is
// not parked, which would promote it: the stream is held as changed outside.
func TestRejoinedByHandIsLeftAlone(t *testing.T) {
	s := failedOver(t, Options{Shared: true})
	s.world.up["east"] = true
	s.world.catchUp("east")
	s.settle(5)
	parks := len(logged(s, origin, policy.WritePark))
	o, primary := s.world.streams[origin.String()], s.st().Primary
	o.meta = []byte(`{"name":"EVENTS","retention":"limits","mirror":{"name":"` + primary.Stream + `"}}`)
	o.local, o.created = o.meta, time.Unix(5000, 0).UTC()
	s.settle(10)
	if got := shape(s, origin).Kind; got != policy.ShapeMirror {
		t.Errorf("the rejoined mirror is %s", got)
	}
	if got := len(logged(s, origin, policy.WritePark)); got != parks {
		t.Errorf("%d parks were sent to the rejoined mirror", got-parks)
	}
	if a := policy.Decide(s.rules, s.hash, s.leader, s.state, name); a.Reason.Code != policy.ChangedOutside {
		t.Errorf("reason %+v, want changed_outside", a.Reason)
	}
}

// returning plays a failover and the return of the origin, whose care is about to begin. The origin holds what nobody else
// does.
func returning(t *testing.T) *Sim {
	t.Helper()
	s := healthy(Options{Rejoin: policy.RejoinAuto, Repoint: policy.RepointAuto})
	s.world.behind["west"], s.world.behind["eu"] = true, true
	s.settle(3)
	s.world.up["east"] = false
	s.settle(30)
	if st := s.st(); st.Primary == origin || st.Attempt != nil || s.err != nil {
		t.Fatalf("no failover: %+v %v", st.Attempt, s.err)
	}
	clear(s.world.behind)
	s.world.up["east"] = true
	return s
}

// TestLateDeleteRemovesARecreatedStream: a delete that seemed lost was sent again, the member made anew; then the first one
// arrives. What it removes is a copy of the primary: it is made once more, and nothing is lost.
func TestLateDeleteRemovesARecreatedStream(t *testing.T) {
	s := returning(t)
	late := s.heldUp(t, origin, policy.WriteDelete)
	s.settle(40)
	if n := len(logged(s, origin, policy.WriteDelete)); !follows(s, origin) || n != 2 || s.err != nil {
		t.Fatalf("the origin is %s after %d deletes: %v", shape(s, origin), n, s.err)
	}
	if c := policy.Candidates(s.st(), s.rules.Streams[name]); slices.ContainsFunc(c, func(c policy.Candidate) bool { return c.ID == origin && c.Reason.Code != policy.WriteOpen }) {
		t.Errorf("with a delete of it open, %+v", c)
	}
	s.deliver(late)
	if s.world.streams[origin.String()].meta != nil {
		t.Fatal("the late delete did not take effect")
	}
	s.settle(40)
	if !follows(s, origin) || s.err != nil {
		t.Errorf("the origin is %s in the end: %v", shape(s, origin), s.err)
	}
	if s.checkCalm(); s.err != nil {
		t.Error(s.err)
	}
}

// TestCreateArrivesTwice: a mirror is made anew and removed at once by a delete that seemed lost; the second copy of the create
// makes it once more. It is nobody's but ours, and goes the way of a late create.
func TestCreateArrivesTwice(t *testing.T) {
	s := returning(t)
	late := s.heldUp(t, origin, policy.WriteDelete)
	s.deliver(s.heldUp(t, origin, policy.WriteDelete))
	create := s.heldUp(t, origin, policy.WriteCreate)
	s.answered(t, create)
	s.deliver(late)
	for i := 0; !s.st().Members[origin.String()].Deleted && i < 1000; i++ {
		if len(s.workers) == 0 {
			s.doRound()
		}
		s.workSome()
	}
	s.workers = nil
	s.deliver(create)
	if got := shape(s, origin); !s.st().Members[origin.String()].Deleted || got.Kind != policy.ShapeMirror {
		t.Fatalf("the second copy did not take effect: %s", got)
	}
	s.settle(40)
	if c, cared := s.st().Aftercare[origin.String()]; cared || !follows(s, origin) || s.err != nil {
		t.Errorf("the origin is %s in the end: %v; its care: %+v", shape(s, origin), s.err, c.Waiting)
	}
}

// TestLateParkPromotesARejoinedMirror: a copy of the return guard's park arrives when the origin is a mirror of the new primary.
// To the server that is a promotion; to us the member has returned once more, and is made a mirror again.
func TestLateParkPromotesARejoinedMirror(t *testing.T) {
	s := returning(t)
	late := s.heldUp(t, origin, policy.WritePark)
	s.deliver(late) // this copy arrives, and another one will
	s.settle(40)
	if !follows(s, origin) || s.err != nil {
		t.Fatalf("the origin is %s: %v", shape(s, origin), s.err)
	}
	s.deliver(late)
	if got := shape(s, origin); got.Kind != policy.ShapeParked {
		t.Fatalf("the late park did not take effect: %s", got)
	}
	s.settle(40)
	if !follows(s, origin) || s.err != nil {
		t.Errorf("the origin is %s in the end: %v", shape(s, origin), s.err)
	}
	if s.checkCalm(); s.err != nil {
		t.Error(s.err)
	}
}

// TestWritesToAParkedPrimaryAfterASwitchover: a person gives the old primary its subjects back, has it take messages, and parks it
// again as it was, all before anybody looks. A sibling that follows it still holds them, too, and is archived before it is
// deleted: the old primary may not be read for long.
func TestWritesToAParkedPrimaryAfterASwitchover(t *testing.T) {
	s := healthy(Options{Rejoin: policy.RejoinAuto, Repoint: policy.RepointAuto})
	a, reason := policy.PlanSwitchover(s.rules, s.hash, s.leader, s.state, name, "west")
	k := s.st().Clock
	if err := s.propose(policy.Command{Begin: &policy.BeginCommand{Stream: name, Term: k.Term, Round: k.Round, Attempt: a}}); err != nil {
		t.Fatal(err, reason)
	}
	for i := 0; s.st().Attempt != nil && i < 1000; i++ {
		if len(s.workers) == 0 {
			s.doRound()
		}
		s.workSome()
	}
	old := s.world.streams[origin.String()]
	parked := old.meta
	s.handBind(origin, subject)
	s.world.takeAlone(old, 3)
	old.meta, old.local = parked, parked
	if got := s.world.streams[eu.String()].lastSeq(); s.st().Primary != west || got != old.lastSeq() || len(s.st().Aftercare) > 0 {
		t.Fatalf("the primary is %s, and %s at sequence %d", s.st().Primary, eu, got)
	}
	s.world.deaf[path{"west", "east"}] = true // where the leader is
	s.settle(40)
	if !follows(s, eu) || s.err != nil {
		t.Errorf("the sibling is %s: %v", shape(s, eu), s.err)
	}
	clear(s.world.deaf)
	s.settle(40)
	if !follows(s, origin) || s.err != nil {
		t.Errorf("the old primary is %s: %v", shape(s, origin), s.err)
	}
	if c := s.st().Archives; len(c) != 2 || c[0].Member != eu || c[0].Messages != 3 {
		t.Errorf("archived: %+v", c)
	}
	if s.checkCalm(); s.err != nil {
		t.Error(s.err)
	}
}
