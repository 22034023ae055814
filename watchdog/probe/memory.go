package probe

import (
	"slices"
	"time"

	"github.com/understudy-ha/understudy/policy"
)

// stamp says when a pass began, and the newest round that was known then.
type stamp struct {
	began       time.Time
	term, round uint64
}

// guarded is what is remembered of one guarded stream. Observer.mu guards it.
type guarded struct {
	rules   policy.StreamRules
	began   time.Time // of the newest pass over it
	members map[policy.MemberID]*member
	// joined are the pairs of members that are known to share a meta group. It is never unlearned: a promoted mirror no
	// longer says where its origin lives.
	joined map[pair]bool
}

type pair struct{ a, b policy.MemberID }

// member is what is remembered of one member.
type member struct {
	stamp  stamp // of the pass that took looks
	looks  []seen
	last   *policy.Snapshot // its Age unset
	lastAt time.Time        // when last was taken
}

// seen is a policy.Look whose age still grows.
type seen struct {
	policy.Look
	ended time.Time
}

func (g *guarded) join(a, b policy.MemberID) {
	g.joined[pair{a, b}] = true
	g.joined[pair{b, a}] = true
}

// joinDomains joins the members whose sites name the same JetStream domain.
func (g *guarded) joinDomains(rules policy.Rules) {
	for a := range g.members {
		for b := range g.members {
			d := rules.Sites[a.Site].Domain
			if a != b && d != "" && d == rules.Sites[b.Site].Domain {
				g.join(a, b)
			}
		}
	}
}

// learn reads out of a mirror's own config whether it lives in the meta group of its upstream. An upstream's name that
// several members bear is taken for the configured origin.
func (g *guarded) learn(id policy.MemberID, config []byte) {
	if !policy.SharesMeta(config) {
		return
	}
	shape, err := policy.ShapeOf(config)
	if err != nil {
		return
	}
	var upstream []policy.MemberID
	for m := range g.members {
		if m != id && m.Stream == shape.Upstream {
			upstream = append(upstream, m)
		}
	}
	switch {
	case slices.Contains(upstream, g.rules.Origin):
		g.join(id, g.rules.Origin)
	case len(upstream) == 1:
		g.join(id, upstream[0])
	}
}

// sharing lists the members that are known to share a member's meta group, directly or through others, in order.
func (g *guarded) sharing(id policy.MemberID) []policy.MemberID {
	group := []policy.MemberID{id}
	for i := 0; i < len(group); i++ {
		for m := range g.members {
			if g.joined[pair{group[i], m}] && !slices.Contains(group, m) {
				group = append(group, m)
			}
		}
	}
	group = group[1:]
	slices.SortFunc(group, policy.MemberID.Compare)
	return group
}

// keep takes the looks of one member. Of two passes at once, the one that began later has the last word. One that asked
// too late to learn anything has none: what was seen before stands until it is too old, and the member's turn comes first
// in the next pass.
func (m *member) keep(s stamp, looks []seen) {
	if len(looks) == 0 || s.began.Before(m.stamp.began) {
		return
	}
	m.stamp, m.looks = s, looks
}

// minRateTime is the shortest time between two answers from which a rate is taken.
const minRateTime = 200 * time.Millisecond

// learn takes an answer into memory. One without a leader comes from a replica that may be behind, and replaces nothing.
func (m *member) learn(s *policy.Snapshot, leads bool, at time.Time) {
	if m.last != nil && (!leads || at.Before(m.lastAt)) {
		return
	}
	if old := m.last; old != nil && old.Created.Equal(s.Created) {
		s.Rate = old.Rate
		if d := at.Sub(m.lastAt); d >= minRateTime && s.LastSeq >= old.LastSeq {
			s.Rate = float64(s.LastSeq-old.LastSeq) / d.Seconds()
		}
	}
	m.last, m.lastAt = s, at
}
