package simulator

import "github.com/understudy-ha/understudy/policy"

// carry plays the one consumer that the stream has: it is put into the log, its reset is logged, sent and settled, and the
// leader may die before each.
func (s *Sim) carry(kind policy.MoveKind) bool {
	st := s.st()
	a := st.Attempt
	if a == nil {
		return false
	}
	c := policy.CarryCommand{Stream: name, Epoch: a.Epoch}
	switch {
	case kind == policy.MoveFreeze:
		c.Freeze, c.Add = true, []policy.Consumer{{Name: "APP"}}
	case a.Carried[0].Reset == "":
		c.Open = []string{"APP"}
	default:
		c.Settle = []policy.ConsumerOutcome{{Name: "APP", How: policy.ConsumerReset}}
	}
	if s.propose(policy.Command{Carry: &c}) != nil {
		return false
	}
	if len(c.Open) > 0 {
		if s.resets[a.Epoch]++; s.resets[a.Epoch] > 1 {
			s.fail("the reset of epoch %d is sent twice", a.Epoch)
		}
	}
	return true
}
