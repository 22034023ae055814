package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/policy"
)

// fenceable is how long a server in a shared meta group surely takes an update for a stream whose servers have
// crashed; some time after it the update is refused, and only a delete releases the subjects.
const fenceable = 140 * time.Second

func (v *validator) streams() {
	if len(v.c.Streams) == 0 {
		v.add("streams", "there is none", "list what to guard: {name, origin: {site, stream}, mirrors: [{site, stream}]}")
	}
	names, accounts := map[string]string{}, map[string]string{}
	guarded := map[string]string{}
	for i, s := range v.c.Streams {
		at := "streams[" + strconv.Itoa(i) + "]"
		if v.name(at+".name", s.Name) {
			if first, twice := names[s.Name]; twice {
				v.add(at+".name", quote(s.Name)+" is the name of "+first+" too", "give each stream its own")
			} else {
				names[s.Name] = at
			}
		}
		v.account(at+".account", s.Account, accounts)
		v.members(at, s, guarded)
		v.overrides(at, s)
		v.releasable(at, s)
	}
}

// account refuses a second account: a site has one login, and it would look at the wrong stream.
func (v *validator) account(field, account string, seen map[string]string) {
	if account == "" {
		return
	}
	if strings.ContainsFunc(account, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		v.add(field, quote(account)+" is not the name of an account", "leave out spaces")
	}
	for other, first := range seen {
		if other != account {
			v.add(field, fmt.Sprintf("%s differs from %q at %s", quote(account), other, first),
				"guard the streams of one account only: logins of a second one are not supported yet")
			return
		}
	}
	seen[account] = field
}

// members checks the origin and the mirrors of a stream. guarded maps every stream of the sites seen so far to the
// field that names it.
func (v *validator) members(at string, s Stream, guarded map[string]string) {
	v.member(at+".origin", s.Origin, guarded)
	if len(s.Mirrors) == 0 {
		v.add(at+".mirrors", "there is none", "list one mirror at least: there is nothing else to promote")
	}
	for i, m := range s.Mirrors {
		field := at + ".mirrors[" + strconv.Itoa(i) + "]"
		v.member(field, Member{m.Site, m.Stream}, guarded)
		if m.Promote != "" && m.Promote != PromoteNever {
			v.add(field+".promote", quote(m.Promote)+" is not known", "write never, or remove it")
		}
	}
}

func (v *validator) member(at string, m Member, guarded map[string]string) {
	_, known := v.c.Sites[m.Site]
	switch {
	case m.Site == "":
		v.add(at+".site", "is missing", "name the site of the stream")
	case !known:
		v.add(at+".site", quote(m.Site)+" is not a configured site",
			didYouMean(m.Site, slices.Collect(maps.Keys(v.c.Sites))))
	}
	if !v.token(at+".stream", m.Stream, "a stream") || !known {
		return
	}
	id := v.c.identity(m)
	if first, twice := guarded[id]; twice {
		v.add(at, fmt.Sprintf("stream %s at %s is %s already", quote(m.Stream), m.Site, first),
			"name each stream once: a stream has one role in one guarded stream")
		return
	}
	guarded[id] = at
}

// identity tells streams apart: within one JetStream domain a name is used once, whatever the sites.
func (c *Config) identity(m Member) string {
	if d := c.Sites[m.Site].Domain; d != "" {
		return "domain/" + d + "/" + m.Stream
	}
	return "site/" + m.Site + "/" + m.Stream
}

// overrides checks what a stream sets for itself. What it takes over from the config has been checked there.
func (v *validator) overrides(at string, s Stream) {
	v.settings(at, s)
	every := s.Probe.Every
	if v.src.has(at + ".probe.every") {
		v.every(at+".probe", every)
		if every >= minProbe && every < v.c.Probe.Timeout {
			v.add(at+".probe.every", short(every)+" is shorter than probe.timeout, "+short(v.c.Probe.Timeout),
				"one look has to end before the next begins: lower probe.timeout, or raise it")
		}
	}
	if after := s.Outage.After; after >= minOutage && after < 2*every {
		v.add(at+".outage.after", short(after)+" is shorter than two looks, one every "+short(every),
			"raise it, or look more often (probe.every)")
	}
}

// releasable refuses a threshold at which the origin's subjects could surely not be taken away any more.
func (v *validator) releasable(at string, s Stream) {
	if m, known := v.c.sharesMeta(s); known {
		v.add(at+".outage.after", fmt.Sprintf("%s is over 140s, and mirror %s shares the origin's JetStream domain",
			short(s.Outage.After), m), releaseRemedy)
	}
}

const releaseRemedy = "a NATS server may by then refuse to fence a crashed origin: use 140s or less, set fence.after to that, or " +
	"release: delete"

// fencedLate tells whether the origin of a stream is fenced so long after it crashed that a server may refuse it.
func fencedLate(s Stream) bool {
	fence := time.Duration(s.Fence.After)
	early := fence > 0 && fence <= fenceable
	return s.Outage.After > fenceable && !early && s.Release != policy.ReleaseDelete
}

// sharesMeta returns a mirror that is in one meta group with the origin of a stream whose threshold is too long for a
// fence there. Without domains it cannot be known, except within one site.
func (c *Config) sharesMeta(s Stream) (mirror string, known bool) {
	if !fencedLate(s) {
		return "", false
	}
	origin := c.Sites[s.Origin.Site].Domain
	for _, m := range s.Mirrors {
		if c.Sites[m.Site].Domain != origin {
			continue
		}
		mirror = m.Site + "/" + m.Stream
		if origin != "" || m.Site == s.Origin.Site {
			return mirror, true
		}
	}
	return mirror, false
}
