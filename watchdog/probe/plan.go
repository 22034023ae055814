package probe

import (
	"slices"
	"time"

	"github.com/understudy-ha/understudy/policy"
)

// plan is one config as it is in use. It never changes, so that a probe works with one from its begin to its end.
type plan struct {
	rules  policy.Rules
	hash   string
	config Config
	names  []string // of the guarded streams
	sites  map[Entry]*site
}

// site returns the connection by which a stream of the account reaches a site; nil when no login is configured.
func (p *plan) site(account, name string) *site {
	if s := p.sites[Entry{Account: account, Site: name}]; s != nil {
		return s
	}
	return p.sites[Entry{Site: name}]
}

// patience is how long an answer may take before there is doubt: before other paths are asked, and other sites again.
func (p *plan) patience() time.Duration { return p.config.Timeout / 4 }

// apply takes the wanted config into use, and returns the connections that it has no use for any more.
func (o *Observer) apply() (gone []*site) {
	o.mu.Lock()
	defer o.mu.Unlock()
	p := &plan{rules: o.want.Rules, hash: o.want.Rules.Hash(), config: o.want, sites: map[Entry]*site{}}
	p.names = p.rules.StreamNames()
	for e, login := range o.want.Logins {
		old := o.sites[e]
		if old != nil && old.sameLogin(login) {
			p.sites[e] = old
			delete(o.sites, e)
			continue
		}
		p.sites[e] = connect(o.o.Log, e, login)
	}
	for _, s := range o.sites {
		gone = append(gone, s)
	}
	o.sites, o.plan = p.sites, p
	o.remember(p)
	return gone
}

// remember makes room for new members and forgets those that are configured no more.
func (o *Observer) remember(p *plan) {
	memory := map[string]*guarded{}
	for name, sr := range p.rules.Streams {
		g := &guarded{rules: sr, members: map[policy.MemberID]*member{}, joined: map[pair]bool{}}
		old := o.memory[name]
		if old != nil && old.rules.Account == sr.Account {
			g.began, g.joined = old.began, old.joined
		}
		for _, id := range sr.Members() {
			if old != nil && old.rules.Account == sr.Account && old.members[id] != nil {
				g.members[id] = old.members[id]
				continue
			}
			g.members[id] = &member{}
		}
		g.joinDomains(p.rules)
		memory[name] = g
	}
	o.memory = memory
}

// disconnect ends all connections, when Run ends.
func (o *Observer) disconnect() {
	o.mu.Lock()
	all := make([]*site, 0, len(o.sites))
	for _, s := range o.sites {
		all = append(all, s)
	}
	o.sites, o.plan = map[Entry]*site{}, nil
	o.mu.Unlock()
	closeAll(all)
}

// targets lists the members of a pass's streams, grouped by the site they are asked at first. Those whose last look is
// oldest come first: when a pass is too short for all, the next one begins with those that were left.
func (o *Observer) targets(p *pass) map[*site][]target {
	o.mu.Lock()
	defer o.mu.Unlock()
	bySite := map[*site][]target{}
	for _, name := range p.streams {
		g := o.memory[name]
		if _, guarded := p.plan.rules.Streams[name]; !guarded || g == nil {
			continue
		}
		for _, id := range g.rules.Members() {
			own := p.plan.site(g.rules.Account, id.Site)
			if own == nil || g.members[id] == nil {
				continue
			}
			t := target{stream: name, id: id, own: own, others: o.others(p.plan, g, id, own), last: g.members[id].stamp.began}
			bySite[own] = append(bySite[own], t)
		}
	}
	for _, targets := range bySite {
		slices.SortStableFunc(targets, func(a, b target) int { return a.last.Compare(b.last) })
	}
	return bySite
}

// others are the further paths to a member: through the sites of those that share its meta group.
func (o *Observer) others(p *plan, g *guarded, id policy.MemberID, own *site) []*site {
	var sites []*site
	for _, other := range g.sharing(id) {
		s := p.site(g.rules.Account, other.Site)
		if s != nil && s != own && !slices.Contains(sites, s) {
			sites = append(sites, s)
		}
	}
	return sites
}
