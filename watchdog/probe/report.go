package probe

import (
	"time"

	"github.com/understudy-ha/understudy/policy"
)

// mayLag is how many rounds a look may be behind the newest round heard of and still be reported: that of a probe which
// is still under way, while its question is asked again.
const mayLag = 2

// report answers with the latest looks at the named streams, nil meaning all.
func (o *Observer) report(streams []string) policy.Report {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := policy.Report{Node: o.o.Node, Site: o.o.Site, Term: o.term, Round: o.round, Streams: map[string]policy.StreamReport{}}
	if o.plan == nil {
		return r
	}
	r.ConfigHash = o.plan.hash
	if streams == nil {
		streams = o.plan.names
	}
	for _, name := range streams {
		if g := o.memory[name]; g != nil {
			r.Streams[name] = o.reportStream(g, &r)
		}
	}
	return r
}

// reportStream lowers the round of r to that of the oldest look it takes.
func (o *Observer) reportStream(g *guarded, r *policy.Report) policy.StreamReport {
	s := policy.StreamReport{Members: map[string]policy.MemberReport{}}
	for id, m := range g.members {
		mr := policy.MemberReport{Last: m.snapshot()}
		if !m.stamp.began.IsZero() && m.stamp.term == o.term && m.stamp.round+mayLag >= o.round {
			mr.Looks = m.aged()
			r.Round = min(r.Round, m.stamp.round)
		}
		if len(mr.Looks) == 0 {
			mr.Looks = []policy.Look{{Via: id.Site, Evidence: policy.NotLooked}}
		}
		s.Members[id.String()] = mr
	}
	return s
}

// aged are a member's latest looks with their ages as of now.
func (m *member) aged() []policy.Look {
	looks := make([]policy.Look, 0, len(m.looks))
	for _, l := range m.looks {
		l.Age = time.Since(l.ended)
		looks = append(looks, l.Look)
	}
	return looks
}

// snapshot is the last answer with its age as of now.
func (m *member) snapshot() *policy.Snapshot {
	if m.last == nil {
		return nil
	}
	s := *m.last
	s.Age = time.Since(m.lastAt)
	return &s
}
