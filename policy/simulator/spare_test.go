package simulator

import (
	"slices"
	"testing"

	"github.com/understudy-ha/understudy/policy"
)

// The traces that broke spare copies, as scripts.

var caring = Options{Rejoin: policy.RejoinAuto, Repoint: policy.RepointAuto}

// spares are the spare copies that the servers hold.
func spares(s *Sim) (list []policy.MemberID) {
	for _, x := range s.world.streams {
		if x.meta != nil && !slices.Contains(all, x.id) {
			list = append(list, x.id)
		}
	}
	return list
}

// follower is the sibling of a failover.
func follower(s *Sim) policy.MemberID {
	if s.st().Primary == west {
		return eu
	}
	return west
}

// TestOnlySiblingIsMadeAnewBesideASpare: the origin never returns.
func TestOnlySiblingIsMadeAnewBesideASpare(t *testing.T) {
	s := failedOver(t, caring)
	s.settle(20)
	if !follows(s, follower(s)) || len(spares(s)) > 0 || s.seen.spared != 1 || s.err != nil {
		t.Errorf("follows %v; spare copies %v, %d of them deleted; %v", follows(s, follower(s)), spares(s), s.seen.spared, s.err)
	}
}

// TestEmptyOriginIsNoCopy: the origin returns without its disks while its only sibling waits, is parked, and takes messages under a
// hand until it is as long as it was. The sibling is not deleted for that.
func TestEmptyOriginIsNoCopy(t *testing.T) {
	for _, length := range []int{0, 40} {
		s := healthy(caring)
		s.world.up["east"] = false
		s.heldUp(t, policy.MemberID{Site: "eu", Stream: "EVENTS_EU_SPARE_1_3"}, policy.WriteSpare)
		x := s.world.streams[origin.String()]
		x.msgs = nil
		s.world.takeAlone(x, length)
		s.world.up["east"] = true
		s.settle(40)
		if !follows(s, eu) || !follows(s, origin) || len(spares(s)) > 0 || s.seen.spared != 1 || s.err != nil {
			t.Errorf("%d messages: eu follows %v, east %v; spare copies %v, %d of them deleted; %v", length, follows(s, eu), follows(s, origin), spares(s), s.seen.spared, s.err)
		}
	}
}

// TestLateSpareIsDeletedAgain: the first create of a spare copy arrives when that has long been deleted.
func TestLateSpareIsDeletedAgain(t *testing.T) {
	s := healthy(caring)
	s.world.up["east"] = false
	late := s.heldUp(t, policy.MemberID{Site: "eu", Stream: "EVENTS_EU_SPARE_1_3"}, policy.WriteSpare)
	s.settle(40)
	if !follows(s, eu) || len(spares(s)) > 0 {
		t.Fatalf("eu follows %v; spare copies %v; %v", follows(s, eu), spares(s), s.err)
	}
	s.deliver(late)
	if len(spares(s)) != 1 {
		t.Fatal("the late create did not take effect")
	}
	s.settle(5)
	if len(spares(s)) > 0 || len(s.st().Spares) > 0 || s.err != nil {
		t.Errorf("left: %v, in the log %v; %v", spares(s), s.st().Spares, s.err)
	}
}

// TestSpareOfALostLogIsFound: the watchdogs lose their stores while a spare copy is there. Somebody adopts what is there.
func TestSpareOfALostLogIsFound(t *testing.T) {
	s := healthy(caring)
	s.world.up["east"] = false
	spare := policy.MemberID{Site: "eu", Stream: "EVENTS_EU_SPARE_1_3"}
	s.heldUp(t, eu, policy.WriteDelete)
	if !slices.Equal(spares(s), []policy.MemberID{spare}) {
		t.Fatalf("spare copies: %v", spares(s))
	}
	s.state = policy.NewState()
	clear(s.reported)
	s.settle(3)
	if err := s.adopt(""); err != nil {
		t.Fatal(err)
	}
	s.settle(5)
	if len(spares(s)) > 0 || len(s.st().Spares) > 0 {
		t.Errorf("left: %v, in the log %v", spares(s), s.st().Spares)
	}
}

// TestMadeAnewByHandAndGone: somebody makes the sibling anew during a hold, while an older delete of it is open, and deletes it again.
// An adoption ends that: it is forgotten.
func TestMadeAnewByHandAndGone(t *testing.T) {
	s := healthy(caring)
	s.world.up["east"] = false
	s.heldUp(t, eu, policy.WriteDelete) // lost
	s.deliver(s.heldUp(t, eu, policy.WriteDelete))
	s.deliver(s.heldUp(t, eu, policy.WriteCreate))
	s.toggleHold()
	s.settle(2)
	s.handRejoin(eu)
	s.settle(2)
	s.handDelete(eu)
	s.settle(2)
	s.toggleHold()
	if code := policy.Decide(s.rules, s.hash, s.leader, s.state, name).Reason.Code; code != policy.ChangedOutside {
		t.Fatalf("the hand was not seen: %s", code)
	}
	s.mend()
	s.doRound()
	if r := policy.Decide(s.rules, s.hash, s.leader, s.state, name).Reason; r.Code != policy.Healthy {
		t.Errorf("after the adoption: %+v", r)
	}
	if s.settle(5); len(spares(s)) > 0 {
		t.Errorf("left: %v", spares(s))
	}
}

// TestMadeAnewByHandAtOnce: somebody makes the sibling anew before anybody has looked at what was just created there. It bears no
// mark of ours, so that it is no older state of ours either: it is held, and an adoption takes it for what it is.
func TestMadeAnewByHandAtOnce(t *testing.T) {
	s := healthy(caring)
	s.world.up["east"] = false
	s.deliver(s.heldUp(t, eu, policy.WriteDelete))
	s.answered(t, s.heldUp(t, eu, policy.WriteCreate))
	s.handRejoin(eu)
	s.settle(3)
	if r := policy.Decide(s.rules, s.hash, s.leader, s.state, name).Reason; r.Code != policy.ChangedOutside {
		t.Fatalf("the hand was not seen: %+v", r)
	}
	s.mend()
	s.world.up["east"] = true
	s.settle(40)
	if r := policy.Decide(s.rules, s.hash, s.leader, s.state, name).Reason; r.Code != policy.Healthy || !follows(s, eu) || s.err != nil {
		t.Errorf("after the adoption: %+v; the sibling is %s: %v", r, shape(s, eu), s.err)
	}
}

// TestBoundByHandAndGone: the same with a sibling that is being made anew, that somebody promotes and then deletes, while a delete of
// it is still open: what the log wants of it is nobody's business any more.
func TestBoundByHandAndGone(t *testing.T) {
	s := healthy(caring)
	s.world.up["east"] = false
	s.heldUp(t, eu, policy.WriteDelete) // lost
	s.deliver(s.heldUp(t, eu, policy.WriteDelete))
	s.answered(t, s.heldUp(t, eu, policy.WriteCreate))
	s.toggleHold()
	s.settle(1)
	s.handBind(eu, "other.EVENTS_EU")
	s.settle(2)
	s.handDelete(eu)
	s.handDelete(eu)
	s.settle(1)
	s.toggleHold()
	s.mend()
	s.doRound()
	if r := policy.Decide(s.rules, s.hash, s.leader, s.state, name).Reason; r.Code != policy.Healthy {
		t.Errorf("after the adoption: %+v", r)
	}
}
