package watchdog_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/natslab"
)

// TestApplications has programs that use nothing but the public client go through a failover, the return of the origin and
// a switchover back. The README's "What your applications must do" claims what is tested here, and no more.
func TestApplications(t *testing.T) {
	for _, topology := range []natslab.Topology{natslab.Domains, natslab.Supercluster} {
		if topology != natslab.Domains && !whole("TestApplications") {
			continue
		}
		t.Run(string(topology), func(t *testing.T) {
			t.Parallel()
			runApplications(t, topology)
		})
	}
}

// afterwards has all that follows a failover done unasked, and the consumers looked at often.
const afterwards = "rejoin: auto\n    repoint: auto\n    consumers: {every: 1s}"

// application is one program. Its methods check what it sees before the origin's site is lost, after the failover, when the
// origin is back as a mirror, and after the switchover back to it; each leaves it at work.
type application interface {
	before(t *testing.T)
	failedOver(t *testing.T)
	rejoined(t *testing.T)
	back(t *testing.T)
}

func runApplications(t *testing.T, topology natslab.Topology) {
	guarded := []stream{
		{name: "PUBS", onlyWest: true, extra: afterwards},
		{name: "JOBS", onlyWest: true, extra: afterwards},
		{name: "AGAIN", onlyWest: true, extra: afterwards, origin: republish("again.>", "copy.again.>")},
		{name: "WIDE", onlyWest: true, extra: afterwards, origin: republish(">", "copy.wide.>")},
		{name: "QUIET", onlyWest: true, extra: afterwards},
		{name: "KV_settings", make: makeBucket},
		{name: "OBJ_files", make: makeObjects},
	}
	a := &applications{w: start(t, setup{topology: topology, streams: guarded}), shared: topology != natslab.Domains, cleanup: t.Cleanup}
	programs := []struct {
		name string
		application
	}{
		{"publisher", &publisher{applications: a, load: a.w.newLoad(t, "PUBS", "eu", "west")}},
		{"by-subject", &worker{applications: a}},
		{"by-name", &bound{applications: a}},
		{"ordered", &ordered{applications: a}},
		{"republish", &listener{applications: a}},
		{"key-value", &bucket{applications: a}},
		{"objects", &objects{applications: a}},
	}
	phase := func(name string, do func(application) func(*testing.T)) {
		for _, p := range programs {
			if !t.Run(name+"/"+p.name, do(p.application)) && t.Failed() {
				t.Logf("%s failed at %s", p.name, name)
			}
		}
	}
	phase("before", func(p application) func(*testing.T) { return p.before })
	a.w.loseEast(t)
	for _, s := range guarded {
		a.w.awaitState(t, 2*outage, s.name, api.StateFailedOver, "")
	}
	phase("failed-over", func(p application) func(*testing.T) { return p.failedOver })
	a.w.restoreEast(t)
	for _, s := range guarded {
		a.w.awaitState(t, 2*outage, s.name, api.StateHealthy, policy.Healthy)
	}
	phase("rejoined", func(p application) func(*testing.T) { return p.rejoined })
	for _, s := range guarded {
		a.switchBack(t, s.name)
	}
	phase("back", func(p application) func(*testing.T) { return p.back })
}

// switchBack leads a stream home. A machine that is busy may let a watchdog see a stream down for a moment, which the
// switchover then waits for.
func (a *applications) switchBack(t *testing.T, name string) {
	t.Helper()
	var r api.Response
	a.w.await(t, outage, func() error {
		r = a.w.do(t, a.w.leader(t), api.Request{Verb: api.VerbSwitchover, Stream: name, Site: "east", DeadlineMS: 20_000})
		if r.Outcome != api.OutcomeDone {
			return fmt.Errorf("switchover of %s: %+v", name, r)
		}
		return nil
	})
	s := a.w.awaitStatus(t, outage, name, func(s api.StreamStatus) bool { return s.Last != nil && s.Last.Epoch == r.Epoch })
	if s.Last.Phase != policy.PhaseDone {
		t.Fatalf("switchover of %s ended %s: %s; %+v", name, s.Last.Phase, s.Last.Waiting, s.Last.Steps)
	}
}

// applications share a world. Those that are not of one of its sites are connected to eu, which holds no primary ever.
type applications struct {
	w      *world
	shared bool // one meta group: streams are found everywhere, and no two bear one name
	// cleanup is the whole test's: programs outlive the subtests in which they are looked at.
	cleanup func(func())
}

// js is JetStream at a site; with a domain, that of another one as seen from there.
func (a *applications) js(t *testing.T, site, domain string) jetstream.JetStream {
	t.Helper()
	nc, err := a.w.conn(site)
	if err != nil {
		t.Fatal(err)
	}
	js, err := a.open(nc, domain)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func (a *applications) open(nc *nats.Conn, domain string) (jetstream.JetStream, error) {
	if a.shared || domain == "" {
		return jetstream.New(nc, jetstream.WithDefaultTimeout(time.Second))
	}
	return jetstream.NewWithDomain(nc, domain, jetstream.WithDefaultTimeout(time.Second))
}

// find looks a stream up by a subject: in the one domain that there is, or in one after the other.
func (a *applications) find(ctx context.Context, subject string) (jetstream.JetStream, string, error) {
	nc, err := a.w.conn("eu")
	if err != nil {
		return nil, "", err
	}
	domains := []string{"east", "west", "eu"}
	if a.shared {
		domains = domains[:1]
	}
	for _, domain := range domains {
		var js jetstream.JetStream
		if js, err = a.open(nc, domain); err != nil {
			return nil, "", err
		}
		asked, cancel := context.WithTimeout(ctx, time.Second)
		var name string
		name, err = js.StreamNameBySubject(asked, subject)
		cancel()
		if err == nil {
			return js, name, nil
		}
	}
	return nil, "", err
}
