package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/understudy-ha/understudy/policy"
)

// slowAnswer is how long a probe must wait to hear what the meta group says of a stream that it cannot serve: nats-server
// answers 10118 and 10008 after 500 ms.
const slowAnswer = 600 * time.Millisecond

// Warnings returns what is allowed, yet most likely not what the operator wants.
func (c *Config) Warnings() []*Problem {
	l := &list{src: c.src}
	c.warnWatchdogs(l)
	if c.Probe.Timeout < slowAnswer {
		l.add("probe.timeout", short(c.Probe.Timeout)+" is too short to hear that a stream's servers are known to be offline, or that the "+
			"meta group has no quorum: NATS says so after 500ms", "use 600ms at least")
	}
	used := map[string]bool{}
	for i, s := range c.Streams {
		at := "streams[" + strconv.Itoa(i) + "]"
		used[s.Origin.Site] = true
		for _, m := range s.Mirrors {
			used[m.Site] = true
		}
		if len(c.Peers) == 1 && s.Mode == policy.ModeUnattended {
			l.add(at+".mode", "unattended with a single watchdog: it cannot tell an outage from its own isolation",
				"run 3 watchdogs in 3 sites")
		}
		if s.Mode == policy.ModeAlertOnly && s.Fence.After > 0 {
			l.add(at+".fence.after", s.Fence.After.String()+" has no effect in mode alert-only, which changes no stream",
				"set mode: manual or unattended, or fence: {after: off}")
		}
		if m, known := c.sharesMeta(s); m != "" && !known {
			l.add(at+".outage.after", fmt.Sprintf("%s is over 140s; if mirror %s shares the origin's meta group, the "+
				"subjects may not be releasable", short(s.Outage.After), m), releaseRemedy)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Sites)) {
		if !used[name] {
			l.add("sites."+name, "no guarded stream is there", "remove it, or guard one")
		}
	}
	return l.sorted()
}

// warnWatchdogs warns of a site whose death takes the majority of the watchdogs with it.
func (c *Config) warnWatchdogs(l *list) {
	inSite := map[string]int{}
	for _, name := range slices.Sorted(maps.Keys(c.Peers)) {
		p := c.Peers[name]
		inSite[p.Site]++
		if _, ok := c.Sites[p.Site]; !ok {
			text := quote(p.Site) + " is none of the sites"
			if near := nearest(p.Site, slices.Collect(maps.Keys(c.Sites))); near != "" {
				text += fmt.Sprintf(" (did you mean %q?)", near)
			}
			l.add("peers."+name+".site", text, "leave it so only if there is no NATS at that place")
		}
	}
	n := len(c.Peers)
	for _, site := range slices.Sorted(maps.Keys(inSite)) {
		switch in := inSite[site]; {
		case n == 1:
		case in == n:
			l.add("peers", fmt.Sprintf("all watchdogs are in site %s: they die with it, and one site's view counts as "+
				"everybody's", site), "put them into different sites")
		case n-in < n/2+1:
			l.add("peers", fmt.Sprintf("%d of %d watchdogs are in site %s: without it the others have no majority",
				in, n, site), "spread them over more sites")
		}
	}
}
