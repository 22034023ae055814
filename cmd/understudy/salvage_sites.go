package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog"
	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/config"
	"github.com/understudy-ha/understudy/watchdog/jsapi"
	"github.com/understudy-ha/understudy/watchdog/salvage"
	"github.com/understudy-ha/understudy/watchdog/screen"
)

// places are the sites of the config, as far as they can be reached. The salvage commands log in there themselves: they
// work with all watchdogs gone.
type places struct {
	conf  *config.Config
	sites map[string]salvage.Site
}

// siteTime bounds the connect to a site.
const siteTime = 5 * time.Second

// dial connects to every site at once, and says which it could not reach. With none it is an error.
func (a *app) dial(ctx context.Context) (*places, error) {
	conf, _, err := a.loadConfig()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, siteTime)
	defer cancel()
	p := &places{conf: conf, sites: map[string]salvage.Site{}}
	var (
		wg     sync.WaitGroup
		mu     sync.Mutex
		failed []string
	)
	for name, login := range watchdog.SiteLogins(conf) {
		wg.Go(func() {
			login.Name = "understudy salvage"
			nc, err := jsapi.DialBulk(ctx, login)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = append(failed, fmt.Sprintf("site %s cannot be reached: %v", name, err))
				return
			}
			p.sites[name] = salvage.Site{Name: name, Conn: nc, Domain: login.Domain}
		})
	}
	wg.Wait()
	slices.Sort(failed)
	if len(p.sites) == 0 {
		return nil, &exit{exitRetry, errors.New(screen.Clean(strings.Join(failed, "; ")))}
	}
	for _, f := range failed {
		fmt.Fprintln(a.stderr, "understudy: warning:", screen.Clean(f))
	}
	return p, nil
}

func (p *places) close() {
	for _, s := range p.sites {
		s.Conn.Close()
	}
}

// side is a stream at a site that was reached.
func (p *places) side(id policy.MemberID) (salvage.Side, error) {
	s, ok := p.sites[id.Site]
	if !ok {
		return salvage.Side{}, &exit{exitRetry, fmt.Errorf("site %s, where %s is, cannot be reached", id.Site, id)}
	}
	return salvage.Side{Site: s, Stream: id.Stream}, nil
}

// archives finds those of a stream, or of all with "", at all sites. Sites of one meta group show the same ones: each
// is listed once, at its primary's site if that is among them.
func (a *app) archives(ctx context.Context, p *places, name string) ([]salvage.Found, error) {
	found, failed := map[string]salvage.Found{}, []error(nil)
	for _, site := range p.sites {
		list, err := salvage.List(ctx, site)
		if err != nil {
			failed = append(failed, err)
		}
		for _, f := range list {
			key := f.Stream + f.Created.String()
			if before, twice := found[key]; (name == "" || f.Name == name) && (!twice || nearer(f, before)) {
				found[key] = f
			}
		}
	}
	var all []salvage.Found
	for _, f := range found {
		all = append(all, f)
	}
	slices.SortFunc(all, func(x, y salvage.Found) int {
		return cmp.Or(strings.Compare(x.Name, y.Name), cmp.Compare(x.Epoch, y.Epoch), strings.Compare(x.Site, y.Site))
	})
	if len(all) == 0 && len(failed) > 0 {
		return nil, errors.Join(failed...)
	}
	for _, err := range failed {
		fmt.Fprintln(a.stderr, "understudy: warning:", screen.Clean(err.Error()))
	}
	return all, nil
}

// withArchive logs in at the sites, finds an archive of a stream, and does something with it, until it is interrupted.
func (a *app) withArchive(ctx context.Context, name string, w which, do func(context.Context, *places, salvage.Found, salvage.Side) error) error {
	ctx, stop := interruptible(ctx)
	defer stop()
	p, err := a.dial(ctx)
	if err != nil {
		return err
	}
	defer p.close()
	found, side, err := a.archive(ctx, p, name, w)
	if err != nil {
		return err
	}
	return do(ctx, p, found, side)
}

// nearer chooses between two sites that show the same archive: the one whose primary it was made for, else the first.
func nearer(f, than salvage.Found) bool {
	home, _, _ := strings.Cut(f.Primary, "/")
	return f.Site == home || than.Site != home && f.Site < than.Site
}

// which names an archive of a stream: of which failover, 0 being the only one, and of which member.
type which struct {
	epoch uint64
	of    string // the site of a mirror; "" is the former primary
}

// archive is the one that a command is about.
func (a *app) archive(ctx context.Context, p *places, name string, w which) (salvage.Found, salvage.Side, error) {
	all, err := a.archives(ctx, p, name)
	if err != nil {
		return salvage.Found{}, salvage.Side{}, err
	}
	f, err := w.pick(all, name)
	if err != nil {
		return f, salvage.Side{}, &exit{exitUsage, err}
	}
	side, err := p.side(policy.MemberID{Site: f.Site, Stream: f.Stream})
	return f, side, err
}

func (w which) pick(all []salvage.Found, name string) (salvage.Found, error) {
	var have []string
	var match []salvage.Found
	for _, f := range all {
		one := fmt.Sprintf("--epoch %d", f.Epoch)
		if f.Of != "" {
			one += " --of " + f.Of
		}
		if have = append(have, one); (w.epoch == 0 || f.Epoch == w.epoch) && f.Of == w.of {
			match = append(match, f)
		}
	}
	switch {
	case len(match) == 1:
		return match[0], nil
	case len(all) == 0:
		return salvage.Found{}, fmt.Errorf("there is no archive of %q; `understudy salvage list` shows those there are", name)
	case len(match) > 1 && w.epoch > 0:
		return salvage.Found{}, fmt.Errorf("there are two archives of failover %d, at %s and %s: remove one with the nats command", w.epoch,
			match[0].Site, match[1].Site)
	}
	return salvage.Found{}, fmt.Errorf("which archive of %s? There are: %s", name, strings.Join(have, "; "))
}

// stream asks the watchdog about a stream; false when none answers, or it does not know.
func (a *app) stream(ctx context.Context, name string) (api.StreamStatus, bool) {
	c, err := a.client()
	if err != nil {
		return api.StreamStatus{}, false
	}
	ctx, cancel := context.WithTimeout(ctx, siteTime)
	defer cancel()
	s, err := c.Stream(ctx, name)
	return s, err == nil && s.Primary.Stream != ""
}

// members are a stream's, as the config has them.
func (p *places) members(name string) []policy.MemberID {
	i := slices.IndexFunc(p.conf.Streams, func(s config.Stream) bool { return s.Name == name })
	if i < 0 {
		return nil
	}
	s := p.conf.Streams[i]
	ids := []policy.MemberID{{Site: s.Origin.Site, Stream: s.Origin.Stream}}
	for _, m := range s.Mirrors {
		ids = append(ids, policy.MemberID{Site: m.Site, Stream: m.Stream})
	}
	return ids
}

// primary is the stream that holds the subjects now: the one at the site that the flag names, else what the watchdog says,
// else what the members show.
func (a *app) primary(ctx context.Context, p *places, name, site string) (salvage.Side, error) {
	members := p.members(name)
	if site != "" {
		i := slices.IndexFunc(members, func(id policy.MemberID) bool { return id.Site == site })
		if i < 0 {
			return salvage.Side{}, &exit{exitUsage, fmt.Errorf("--primary %q: the config has no member of %q there", site, name)}
		}
		return p.side(members[i])
	}
	if s, ok := a.stream(ctx, name); ok {
		return p.side(s.Primary)
	}
	if len(members) == 0 {
		return salvage.Side{}, &exit{exitUsage, fmt.Errorf("the config has no stream %q, and no watchdog knows it", name)}
	}
	fmt.Fprintln(a.stderr, "understudy: no watchdog answers: looking at the members for the primary")
	var sides []salvage.Side
	for _, id := range members {
		if s, err := p.side(id); err == nil {
			sides = append(sides, s)
		}
	}
	s, err := salvage.FindPrimary(ctx, sides)
	if err != nil {
		err = fmt.Errorf("%w: name its site with --primary", err)
	}
	return s, err
}
