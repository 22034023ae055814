package salvage_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/understudy-ha/understudy/watchdog/jsapi"
	"github.com/understudy-ha/understudy/watchdog/natslab"
	"github.com/understudy-ha/understudy/watchdog/salvage"
)

// TestShowOfAReplicatedArchive reads an archive of three replicas again and again. Each reading makes a consumer, often on
// another server than the one that is asked: it must be found as soon as it listens.
func TestShowOfAReplicatedArchive(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	lab, err := natslab.Start(ctx, natslab.Options{Topology: natslab.Domains, Servers: 3})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lab.Close(); err != nil {
			t.Error(err)
		}
	})
	side := replicatedTail(ctx, t, lab.Site("west"), 700)
	a, err := salvage.Archive(ctx, salvage.Job{Name: "EVENTS", Epoch: 3, Old: side("OLD"), Primary: side("NEW")})
	if err != nil || a.Messages != 700 {
		t.Fatalf("%+v, %v", a, err)
	}
	for i := range 50 {
		n, began := uint64(0), time.Now()
		err := salvage.Show(ctx, side(a.Stream), "", func(salvage.Entry) error {
			n++
			return nil
		})
		if took := time.Since(began); err != nil || n != a.Messages || took > 3*time.Second {
			t.Errorf("reading %d: %d messages in %s, %v", i, n, took, err)
		}
	}
}

// replicatedTail makes OLD, which holds n messages, and NEW, which holds none, with three replicas each.
func replicatedTail(ctx context.Context, t *testing.T, site *natslab.Site, n int) func(string) salvage.Side {
	t.Helper()
	nc, err := jsapi.DialBulk(ctx, jsapi.Login{Servers: site.URLs(), User: site.User(), Password: site.Password()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for stream, subject := range map[string]string{"OLD": "o.>", "NEW": "n.>"} {
		for _, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: stream, Subjects: []string{subject}, Replicas: 3}); err != nil && ctx.Err() == nil; {
			time.Sleep(50 * time.Millisecond) // until the servers have found each other
			_, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: stream, Subjects: []string{subject}, Replicas: 3})
		}
	}
	for range n {
		if _, err := js.PublishMsg(ctx, &nats.Msg{Subject: "o.x", Data: []byte("x")}); err != nil {
			t.Fatal(err)
		}
	}
	return func(stream string) salvage.Side {
		return salvage.Side{Site: salvage.Site{Name: "west", Conn: nc}, Stream: stream}
	}
}
