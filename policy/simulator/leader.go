package simulator

import (
	"slices"
	"time"

	"github.com/understudy-ha/understudy/policy"
)

// doRound is one round of the leader: look, log what is worth it, decide, and set workers to it, as a term does.
func (s *Sim) doRound() {
	const second = time.Second
	s.world.clock += second
	s.world.publish()
	if s.leader == "" {
		s.elect()
		return
	}
	s.round++
	sr := s.rules.Streams[name]
	r := policy.Merge(s.rules, s.state.Stream(sr), sr, s.term, s.round, s.reports())
	if !s.fresh {
		r.Elapsed = second
	}
	if s.wasUp {
		s.sinceUp += second
		r.SinceUp = s.sinceUp
	}
	s.fresh = false
	if r.Agreement == policy.AgreedUp {
		s.sinceUp, s.wasUp = 0, true
	}
	if policy.Worth(s.state, sr, r) {
		_ = s.propose(policy.Command{Round: &policy.RoundCommand{Term: s.term, Number: s.round,
			Streams: map[string]policy.StreamRound{name: r}, Rules: map[string]policy.StreamRules{name: sr},
			Intervals: map[string]time.Duration{name: sr.Interval}}})
	}
	s.act(sr)
}

func (s *Sim) act(sr policy.StreamRules) {
	a := policy.Decide(s.rules, s.hash, s.leader, s.state, name)
	st := s.st()
	if a.Reason.Code == "" {
		s.fail("a decision has no reason: %+v", a)
	}
	if st.Reason.Code != a.Reason.Code {
		s.log("decides %s: %s", a.Kind, a.Reason.Text)
		_ = s.propose(policy.Command{Decision: &policy.DecisionCommand{Stream: name, Reason: a.Reason}})
	}
	switch a.Kind {
	case policy.ActBegin:
		b := &policy.BeginCommand{Stream: name, Term: st.Clock.Term, Round: st.Clock.Round, Attempt: *a.Attempt}
		if s.propose(policy.Command{Begin: b}) == nil {
			s.log("begins epoch %d: %s to %s", a.Attempt.Epoch, a.Attempt.From, a.Attempt.Target)
			s.hire(nil)
		}
	case policy.ActStep:
		s.hire(nil)
	}
	if s.o.Break == NoRepair {
		return
	}
	for _, id := range append(policy.Debts(s.state, sr), policy.Awaited(s.state, sr)...) {
		s.hire(&id)
	}
	for _, id := range policy.Cares(s.state, sr) {
		s.hireCare(id)
	}
	for _, spare := range policy.SparesDue(s.state, name) {
		s.hireSpare(spare.ID)
	}
	s.search()
}

// search looks for streams that source from a replaced primary, before that may be made anew: the model has none. And for spare
// copies of which the log does not know.
func (s *Sim) search() {
	for _, site := range policy.SourcesDue(s.state, s.rules, name).Sites {
		if s.world.hears(s.rules.Watchdogs[s.leader], site) {
			_ = s.propose(policy.Command{Source: &policy.SourceCommand{Stream: name, Epoch: s.st().Epoch, Site: site,
				Spares: policy.FindSpares(s.st(), site, s.world.list(site))}})
		}
	}
}

// reports are the three watchdogs' reports of this round. One may be late, or blind.
func (s *Sim) reports() []policy.Report {
	var list []policy.Report
	for _, site := range sites {
		node := "wd-" + site
		if !s.world.reaches(site) || !s.calm && s.rnd.IntN(12) == 0 {
			list = append(list, s.oldReport(node)...) // dead, cut off, or too slow
			continue
		}
		members := map[string]policy.MemberReport{}
		for _, id := range s.state.Watched(s.rules.Streams[name]) {
			members[id.String()] = s.memberReport(node, id)
		}
		rep := policy.Report{Node: node, Site: site, ConfigHash: s.hash, Term: s.term, Round: s.round,
			Streams: map[string]policy.StreamReport{name: {Members: members}}}
		list, s.reported[node] = append(list, rep), dated{rep, s.world.clock}
	}
	return list
}

// dated is a report and when it came.
type dated struct {
	policy.Report
	at time.Duration
}

// oldReport is what a watchdog that is silent reported last, older by now.
func (s *Sim) oldReport(node string) []policy.Report {
	d, ok := s.reported[node]
	if !ok {
		return nil
	}
	members := map[string]policy.MemberReport{}
	for key, m := range d.Streams[name].Members {
		m.Looks = slices.Clone(m.Looks)
		for i := range m.Looks {
			m.Looks[i].Age += s.world.clock - d.at
		}
		members[key] = m
	}
	rep := d.Report
	rep.Streams = map[string]policy.StreamReport{name: {Members: members}}
	return []policy.Report{rep}
}

func (s *Sim) memberReport(node string, id policy.MemberID) policy.MemberReport {
	paths := []string{id.Site}
	if s.world.shared {
		for _, site := range sites {
			if site != id.Site && s.world.reaches(site) {
				paths = append(paths, site)
			}
		}
	}
	m := policy.MemberReport{}
	for _, via := range paths {
		e, snap := s.world.look(s.rules.Watchdogs[node], via, id)
		if !s.calm && s.rnd.IntN(40) == 0 {
			e, snap = policy.Timeout, nil // a lost packet
		}
		if snap != nil {
			s.memory[node][id.String()] = snap
		}
		m.Looks = append(m.Looks, policy.Look{Via: via, Evidence: e})
	}
	if last := s.memory[node][id.String()]; last != nil {
		copied := *last
		m.Last = &copied
	}
	return m
}
