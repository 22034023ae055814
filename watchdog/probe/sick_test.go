package probe_test

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/natslab"
	"github.com/understudy-ha/understudy/watchdog/probe"
)

// beginningAt runs an observer that asks one server of a site first.
func (r *rig) beginningAt(site, server string) *probe.Observer {
	c, e := r.config, probe.Entry{Site: site}
	login := c.Logins[e]
	for i := 0; login.FirstServer() != server; i++ {
		login.Name = fmt.Sprintf("observer %d", i)
	}
	c.Logins = maps.Clone(c.Logins)
	c.Logins[e] = login
	return run(r.t, c)
}

// One server of three hangs, with its connections open. The site lives: not all observers may ask that server, and the one
// that did must ask another before its client finds the connection dead.
func TestOneSickServerIsNotTheSite(t *testing.T) {
	t.Parallel()
	r := start(t, natslab.Domains, 3, 3)
	r.config.Timeout = time.Second
	leader := member(r.look(), origin).Last.Leader
	servers := r.lab.Site("east").Servers()
	sick := slices.IndexFunc(servers, func(s *natslab.Server) bool { return s.Name != leader })
	observers := make([]*probe.Observer, len(servers))
	for i, url := range r.config.Logins[probe.Entry{Site: "east"}].Servers {
		observers[i] = r.beginningAt("east", url)
		r.obs = observers[i]
		r.sees(origin, "east", policy.Answered)
	}
	r.must(servers[sick].Pause())
	t.Cleanup(func() { _ = servers[sick].Resume() })
	r.round++
	var wg sync.WaitGroup
	reports := make([]policy.Report, len(observers))
	for i, o := range observers {
		wg.Go(func() { reports[i] = o.Look(t.Context(), 1, r.round, nil) })
	}
	wg.Wait()
	for i, rep := range reports {
		want := policy.Answered
		if i == sick {
			want = policy.Timeout
		}
		if m := member(rep, origin); !has(m, "east", want) {
			t.Errorf("asked first at %s, %s is sick: got %+v, want %s", servers[i].Name, servers[sick].Name, m.Looks, want)
		}
	}
	r.obs = observers[sick]
	r.until("the one that asked the sick server sees the origin again", func(rep policy.Report) bool {
		m := member(rep, origin)
		if has(m, "east", policy.Disconnected) {
			t.Fatalf("it stayed until its client gave up: %+v", m.Looks)
		}
		return has(m, "east", policy.Answered)
	})
}
