package natslab

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// timeout bounds every wait of a test; none comes near it unless it fails.
const timeout = 60 * time.Second

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	t.Cleanup(cancel)
	return ctx
}

func startLab(t *testing.T, topology Topology, servers int) *Lab {
	t.Helper()
	began := time.Now()
	l, err := Start(testContext(t), Options{Topology: topology, Servers: servers})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s with %d servers a site ready in %v", topology, servers, time.Since(began).Round(time.Millisecond))
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// eventually polls until check returns nil.
func eventually(t *testing.T, check func(ctx context.Context) error) {
	t.Helper()
	began := time.Now()
	if err := poll(testContext(t), check); err != nil {
		t.Fatalf("after %v: %v", time.Since(began).Round(time.Millisecond), err)
	}
}

// throughout checks again and again for a while.
func throughout(t *testing.T, d time.Duration, check func() error) {
	t.Helper()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for end := time.Now().Add(d); time.Now().Before(end); <-tick.C {
		if err := check(); err != nil {
			t.Fatal(err)
		}
	}
}

func connect(t *testing.T, l *Lab, site, from string) *nats.Conn {
	t.Helper()
	nc, err := l.Connect(testContext(t), site, from, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond),
		nats.IgnoreAuthErrorAbort(), // the client would give up while a password is changed
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func stream(t *testing.T, nc *nats.Conn) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// pairOfStreams is an origin in east and its mirror in west.
type pairOfStreams struct {
	t        *testing.T
	lab      *Lab
	east     jetstream.JetStream
	west     jetstream.JetStream
	received uint64 // acks
}

// newPair creates ORIGIN (subjects "o.>") in east and MIRROR in west.
func newPair(t *testing.T, l *Lab, replicas int) *pairOfStreams {
	t.Helper()
	p := &pairOfStreams{
		t: t, lab: l,
		east: stream(t, connect(t, l, "east", "east")),
		west: stream(t, connect(t, l, "west", "west")),
	}
	origin := jetstream.StreamConfig{Name: "ORIGIN", Subjects: []string{"o.>"}, Replicas: replicas}
	mirror := jetstream.StreamConfig{Name: "MIRROR", Replicas: replicas, Mirror: &jetstream.StreamSource{Name: "ORIGIN"}}
	if d := l.Site("east").Domain; d != "" {
		mirror.Mirror.External = &jetstream.ExternalStream{APIPrefix: "$JS." + d + ".API"}
	} else {
		origin.Placement = &jetstream.Placement{Cluster: "east"}
		mirror.Placement = &jetstream.Placement{Cluster: "west"}
	}
	p.create(p.east, origin)
	p.create(p.west, mirror)
	return p
}

func (p *pairOfStreams) create(js jetstream.JetStream, cfg jetstream.StreamConfig) {
	p.t.Helper()
	eventually(p.t, func(ctx context.Context) error {
		_, err := js.CreateStream(ctx, cfg)
		return err
	})
}

// publish adds one acknowledged message to the origin.
func (p *pairOfStreams) publish() {
	p.t.Helper()
	id := fmt.Sprint(p.received + 1)
	eventually(p.t, func(ctx context.Context) error {
		_, err := p.east.Publish(ctx, "o.x", []byte(id), jetstream.WithMsgID(id))
		return err
	})
	p.received++
}

// lastSeq is a stream's last sequence.
func lastSeq(ctx context.Context, js jetstream.JetStream, name string) (uint64, error) {
	s, err := js.Stream(ctx, name)
	if err != nil {
		return 0, err
	}
	return s.CachedInfo().State.LastSeq, nil
}

// awaitMirror waits until the mirror has all that was acknowledged.
func (p *pairOfStreams) awaitMirror() {
	p.t.Helper()
	began := time.Now()
	eventually(p.t, func(ctx context.Context) error { return p.mirrorAt(ctx, p.received) })
	p.t.Logf("mirror at %d after %v", p.received, time.Since(began).Round(time.Millisecond))
}

func (p *pairOfStreams) mirrorAt(ctx context.Context, want uint64) error {
	got, err := lastSeq(ctx, p.west, "MIRROR")
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("mirror at %d, want %d", got, want)
	}
	return nil
}

// answers tells whether the JetStream API answers on a connection.
func answers(ctx context.Context, nc *nats.Conn) error {
	_, err := nc.RequestWithContext(ctx, "$JS.API.INFO", nil)
	return err
}
