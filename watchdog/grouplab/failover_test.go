package grouplab_test

import (
	"context"
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/grouplab"
	"github.com/understudy-ha/understudy/watchdog/natslab"
)

func TestKillOriginSite(t *testing.T) {
	for _, topology := range []natslab.Topology{natslab.Domains, natslab.Supercluster} {
		t.Run(string(topology), func(t *testing.T) { killOriginSite(t, topology) })
	}
}

func killOriginSite(t *testing.T, topology natslab.Topology) {
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	lab, err := natslab.Start(ctx, natslab.Options{Topology: topology})
	if err != nil {
		t.Fatal(err)
	}
	defer lab.Close()
	makeStreams(ctx, t, lab)
	g, err := grouplab.Start(ctx, grouplab.Options{Lab: lab, Streams: []grouplab.Stream{{
		Name: "EVENTS", Origin: "east", Mirrors: map[string]string{"west": "EVENTS_W", "eu": "EVENTS_EU"}}}})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	defer func() {
		if t.Failed() {
			for _, d := range g.Dogs {
				b, _ := os.ReadFile(d.LogFile)
				t.Logf("%s:\n%s", d.Name, b)
			}
		}
	}()
	if _, err := g.WaitStatus(ctx, state("healthy")); err != nil {
		t.Fatal(err)
	}
	if err := g.MoveLeader(ctx, "wd-east"); err != nil {
		t.Fatal(err)
	}
	t.Log("killing east")
	began := time.Now()
	if err := g.Dog("wd-east").Kill(); err != nil {
		t.Fatal(err)
	}
	if err := lab.Site("east").Kill(); err != nil {
		t.Fatal(err)
	}
	st, err := g.WaitStatus(ctx, state(api.StateFailedOver))
	b, _ := json.MarshalIndent(st, "", " ")
	if err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	t.Logf("failed over %s after the kill", time.Since(began))
	if testing.Verbose() {
		t.Logf("%s", b)
	}
}

func state(want string) func(api.Status) bool {
	return func(st api.Status) bool {
		s, ok := st.Stream("EVENTS")
		return ok && s.State == want
	}
}

func makeStreams(ctx context.Context, t *testing.T, lab *natslab.Lab) {
	t.Helper()
	for _, s := range []struct{ site, name, origin string }{{"east", "EVENTS", ""}, {"west", "EVENTS_W", "EVENTS"}, {"eu", "EVENTS_EU", "EVENTS"}} {
		nc, err := lab.Connect(ctx, s.site, s.site)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		c := jetstream.StreamConfig{Name: s.name, Placement: &jetstream.Placement{Cluster: s.site}}
		if lab.Topology() == natslab.Domains {
			c.Placement = nil
		}
		if s.origin == "" {
			c.Subjects = []string{"events.>"}
		} else {
			c.Mirror = &jetstream.StreamSource{Name: s.origin}
			if lab.Topology() == natslab.Domains {
				c.Mirror.External = &jetstream.ExternalStream{APIPrefix: "$JS.east.API"}
			}
		}
		if _, err := js.CreateStream(ctx, c); err != nil {
			t.Fatalf("create %s: %v", s.name, err)
		}
	}
}
