package probe_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/jsapi"
	"github.com/understudy-ha/understudy/watchdog/natslab"
	"github.com/understudy-ha/understudy/watchdog/probe"
)

func TestMain(m *testing.M) {
	natslab.RunIfChild()
	goleak.VerifyTestMain(m)
}

const (
	stream  = "EVENTS"
	timeout = 750 * time.Millisecond
	office  = "office" // where the observer sits: a place of its own, which can be cut off like a site
)

var (
	origin = policy.MemberID{Site: "east", Stream: "EVENTS"}
	west   = policy.MemberID{Site: "west", Stream: "EVENTS_W"}
	eu     = policy.MemberID{Site: "eu", Stream: "EVENTS_EU"}
)

// rig is a lab with a guarded stream, and one observer of it.
type rig struct {
	t      *testing.T
	lab    *natslab.Lab
	admin  map[string]*jsapi.Conn // by site, not through links
	obs    *probe.Observer
	config probe.Config
	round  uint64
}

// start runs a lab with the origin at east and a mirror at each other site, and an observer that has seen all of them.
func start(t *testing.T, topology natslab.Topology, servers, replicas int) *rig {
	t.Helper()
	var lab *natslab.Lab
	for tries := 1; lab == nil; tries++ { // a start has short deadlines of its own, which a busy machine may miss
		l, err := natslab.Start(within(t, 60*time.Second), natslab.Options{Topology: topology, Servers: servers})
		if err == nil {
			lab = l
		} else if tries == 5 {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if err := lab.Close(); err != nil {
			t.Error(err)
		}
	})
	r := &rig{t: t, lab: lab, admin: map[string]*jsapi.Conn{}}
	for _, s := range lab.Sites() {
		login := r.login(s.Name, natslab.AppUser)
		login.Servers = s.URLs()
		r.admin[s.Name] = jsapi.Dial(jsapi.Options{Login: login})
		t.Cleanup(r.admin[s.Name].Close)
	}
	r.create(origin, fmt.Sprintf(`"subjects":["events.>"],"num_replicas":%d`, replicas))
	for _, id := range r.mirrors() {
		r.create(id, r.mirror(origin, replicas))
	}
	r.observe(natslab.AppUser)
	r.until("all members seen, the mirrors connected", func(rep policy.Report) bool {
		for _, id := range append(r.mirrors(), origin) {
			m := member(rep, id)
			if !has(m, id.Site, policy.Answered) || id != origin && m.Last.Mirror.Active < 0 {
				return false
			}
		}
		return true
	})
	return r
}

func (r *rig) mirrors() []policy.MemberID {
	if r.lab.Topology() == natslab.TwoCluster {
		return []policy.MemberID{west}
	}
	return []policy.MemberID{west, eu}
}

// mirror is the config of a direct mirror of another member.
func (r *rig) mirror(of policy.MemberID, replicas int) string {
	external := ""
	if r.lab.Topology() == natslab.Domains {
		external = fmt.Sprintf(`,"external":{"api":"$JS.%s.API"}`, of.Site)
	}
	return fmt.Sprintf(`"mirror":{"name":%q%s},"num_replicas":%d`, of.Stream, external, replicas)
}

// create makes a member at its own site; config is the inside of a JSON object.
func (r *rig) create(id policy.MemberID, config string) {
	r.t.Helper()
	raw := fmt.Sprintf(`{"name":%q,"storage":"file",%s`, id.Stream, config)
	if r.lab.Topology() != natslab.Domains {
		raw += fmt.Sprintf(`,"placement":{"cluster":%q}`, id.Site)
	}
	r.eventually("created "+id.String(), func() error {
		_, err := r.admin[id.Site].Create(within(r.t, 5*time.Second), id.Stream, json.RawMessage(raw+"}"))
		return err
	})
}

// publish stores messages in the origin.
func (r *rig) publish(n int) {
	r.t.Helper()
	for range n {
		r.eventually("published", func() error {
			_, err := r.admin["east"].Publish(within(r.t, time.Second), "events.x", "", nil, []byte("x"))
			return err
		})
	}
}

func (r *rig) login(site, user string) jsapi.Login {
	s := r.lab.Site(site)
	l := jsapi.Login{Name: "observer", Servers: s.URLsFrom(office), Domain: s.Domain, User: user}
	switch user {
	case natslab.NoAPIUser:
		l.Password = "noapi-password"
	case natslab.SysUser:
		l.Password = "sys-password"
	default:
		l.Password = s.Password()
	}
	return l
}

// observe runs a new observer, logged in at all sites as user.
func (r *rig) observe(user string) {
	rules := policy.Rules{
		Watchdogs: map[string]string{"wd": office},
		Sites:     map[string]policy.SiteRules{},
		Streams: map[string]policy.StreamRules{stream: {
			Name: stream, Origin: origin, Interval: 250 * time.Millisecond, Threshold: 5 * time.Second,
		}},
	}
	r.config = probe.Config{Rules: rules, Timeout: timeout, Logins: map[probe.Entry]jsapi.Login{}}
	for _, s := range r.lab.Sites() {
		rules.Sites[s.Name] = policy.SiteRules{Domain: s.Domain}
		r.config.Logins[probe.Entry{Site: s.Name}] = r.login(s.Name, user)
	}
	sr := rules.Streams[stream]
	for _, id := range r.mirrors() {
		sr.Mirrors = append(sr.Mirrors, policy.MirrorRule{MemberID: id})
	}
	rules.Streams[stream] = sr
	r.obs = run(r.t, r.config)
}

// run runs an observer until the test ends.
func run(t *testing.T, c probe.Config) *probe.Observer {
	o := probe.New(probe.Options{Node: "wd", Site: office, Log: discard})
	o.Configure(c)
	serve(t, o)
	return o
}

var discard = slog.New(slog.DiscardHandler)

func serve(t *testing.T, o *probe.Observer) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := o.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
}

// look asks for one report, as a leader does.
func (r *rig) look() policy.Report {
	r.round++
	return r.obs.Look(r.t.Context(), 1, r.round, nil)
}

// until looks until a report is as wanted, and returns it.
func (r *rig) until(what string, ok func(policy.Report) bool) policy.Report {
	r.t.Helper()
	var rep policy.Report
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if rep = r.look(); ok(rep) {
			return rep
		}
	}
	b, _ := json.MarshalIndent(rep, "", " ")
	r.t.Fatalf("not in time: %s; the last report:\n%s", what, b)
	return rep
}

// sees waits for evidence about a member through a site.
func (r *rig) sees(id policy.MemberID, via string, want policy.Evidence) policy.Report {
	r.t.Helper()
	return r.until(fmt.Sprintf("%s through %s is %s", id, via, want), func(rep policy.Report) bool {
		return has(member(rep, id), via, want)
	})
}

func (r *rig) eventually(what string, try func() error) {
	r.t.Helper()
	var err error
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if err = try(); err == nil {
			return
		}
	}
	r.t.Fatalf("not in time: %s: %v", what, err)
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func member(rep policy.Report, id policy.MemberID) policy.MemberReport {
	return rep.Streams[stream].Members[id.String()]
}

// through finds the look through a site.
func through(m policy.MemberReport, via string) (policy.Look, bool) {
	for _, l := range m.Looks {
		if l.Via == via {
			return l, true
		}
	}
	return policy.Look{}, false
}

func has(m policy.MemberReport, via string, want policy.Evidence) bool {
	l, ok := through(m, via)
	return ok && l.Evidence == want
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
