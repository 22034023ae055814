package config

import (
	"slices"
	"time"

	"github.com/understudy-ha/understudy/policy"
)

// Rules returns what decisions depend on, which must be equal on every watchdog; its Hash is the config's hash. Where
// this watchdog listens and logs, and how it reaches and logs in to a site, is left out. The order of streams and
// mirrors in the file makes no difference.
func (c *Config) Rules() policy.Rules {
	r := policy.Rules{
		Watchdogs: make(map[string]string, len(c.Peers)),
		Sites:     make(map[string]policy.SiteRules, len(c.Sites)),
		Streams:   make(map[string]policy.StreamRules, len(c.Streams)),
		Brake:     policy.BrakeRules{Max: c.Brake.Max, Per: c.Brake.Per},
	}
	for name, p := range c.Peers {
		r.Watchdogs[name] = p.Site
	}
	for name, s := range c.Sites {
		r.Sites[name] = policy.SiteRules{Domain: s.Domain}
	}
	for _, s := range c.Streams {
		sr := s.rules()
		sr.Domains = c.domains(sr.Members())
		r.Streams[s.Name] = sr
	}
	return r
}

// domains are the JetStream domains of the members' sites that have one.
func (c *Config) domains(members []policy.MemberID) map[string]string {
	domains := map[string]string{}
	for _, m := range members {
		if d := c.Sites[m.Site].Domain; d != "" {
			domains[m.Site] = d
		}
	}
	return domains
}

func (s Stream) rules() policy.StreamRules {
	r := policy.StreamRules{
		Name:             s.Name,
		Account:          s.Account,
		Origin:           policy.MemberID{Site: s.Origin.Site, Stream: s.Origin.Stream},
		Mode:             s.Mode,
		Interval:         s.Probe.Every,
		Threshold:        s.Outage.After,
		MaxLoss:          s.Loss.MaxMessages,
		AllowUnknownLoss: s.Loss.Unknown == LossAllow,
		Cooldown:         s.Cooldown,
		Release:          s.Release,
		Priority:         s.Priority,
		FenceAfter:       time.Duration(s.Fence.After),
		Dedup:            policy.DedupRules(s.Dedup),
		ConsumersEvery:   s.Consumers.Every,
		Salvage:          s.Salvage,
		Rejoin:           s.Rejoin,
		Repoint:          s.Repoint,
	}
	for _, m := range s.Mirrors {
		r.Mirrors = append(r.Mirrors, policy.MirrorRule{
			MemberID:     policy.MemberID{Site: m.Site, Stream: m.Stream},
			Priority:     m.Priority,
			PromoteNever: m.Promote == PromoteNever,
		})
	}
	slices.SortFunc(r.Mirrors, func(a, b policy.MirrorRule) int { return a.MemberID.Compare(b.MemberID) })
	return r
}
