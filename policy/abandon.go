package policy

import "time"

// abandon ends an attempt whose target cannot be reached any more, though its promote was sent: the one way in which the
// target of an outage may change, and a person's to go (write discipline, rule 5). The given-up target may hold messages,
// or the subjects, that nobody sees: it is fenced as soon as it answers, as a retired primary is, and is no candidate.
func (st *StreamState) abandon(s *State, c Command) error {
	a := st.Attempt
	switch {
	case a == nil:
		return refuse("no failover of %s runs", st.Name)
	case a.Target.Site != c.Abandon.Site:
		return refuse("failover %d is to %s, not to site %s", a.Epoch, a.Target, c.Abandon.Site)
	case !a.PromoteOpened:
		return refuse("nothing was sent to %s yet: failover %d ends by itself if it cannot be reached", a.Target, a.Epoch)
	case st.Round.Members[a.Target.String()].Reachable():
		return refuse("%s answers: failover %d goes on with it", a.Target, a.Epoch)
	}
	target := st.Members[a.Target.String()]
	target.Want, target.WantWrite = &Shape{Kind: ShapeParked, Subjects: []string{ParkSubject(a.Target)}}, ""
	target.Retired, target.Abandoned, target.FencedAt = a.Epoch, a.Epoch, time.Time{}
	st.Members[a.Target.String()] = target
	ended := *a
	ended.Phase, ended.EndedAt = PhaseAborted, c.At
	ended.Waiting = reasonf(TargetUnreachable, "%s gave %s up: it will be fenced when it answers", c.Abandon.By, a.Target)
	ended.Abort = ended.Waiting
	st.giveBack(a.From)
	st.Attempt, st.Last = nil, &ended
	s.note(c.At, st.Name, a.Epoch, "failover_abandoned", ended.Waiting)
	return nil
}
