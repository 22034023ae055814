package watchdog_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/natslab"
)

// TestConsumerIsCarried loses the origin's site while an application is in the middle of its work: at the new primary it
// goes on behind what it has acknowledged.
func TestConsumerIsCarried(t *testing.T) {
	for _, topology := range []natslab.Topology{natslab.Domains, natslab.Supercluster} {
		t.Run(string(topology), func(t *testing.T) {
			t.Parallel()
			w := start(t, setup{topology: topology, streams: []stream{{name: "ORDERS", onlyWest: true, extra: "consumers: {every: 1s}"}}})
			w.publish(t, "east", "ORDERS", 9) // beside the one that is there
			create := map[string]any{"stream_name": "ORDERS", "action": "create",
				"config": map[string]any{"durable_name": "BILLING", "ack_policy": "explicit", "deliver_policy": "all"}}
			if err := w.ask("east", "CONSUMER.CREATE.ORDERS.BILLING", create, nil); err != nil {
				t.Fatal(err)
			}
			w.work(t, "east", "ORDERS", 1, 6)
			w.await(t, soon, func() error { return w.kept("ORDERS", `"ack_floor":6`) })
			w.loseEast(t)
			w.awaitState(t, 2*outage, "ORDERS", api.StateFailedOver, "")
			w.publish(t, "eu", "ORDERS", 2)
			w.work(t, "west", "ORDERS_WEST", 7, 12)
		})
	}
}

// work has an application take and acknowledge messages, which must be those of these sequences in this order.
func (w *world) work(t *testing.T, site, stream string, from, to uint64) {
	t.Helper()
	nc, err := w.conn(site)
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for want := from; want <= to; want++ {
		w.await(t, soon, func() error {
			c, err := js.Consumer(w.ctx, stream, "BILLING")
			if err != nil {
				return err
			}
			m, err := c.Next(jetstream.FetchMaxWait(2 * time.Second))
			if err != nil {
				return err
			}
			meta, err := m.Metadata()
			if err != nil {
				return err
			}
			if got := meta.Sequence.Stream; got != want {
				t.Fatalf("%s delivers %d, want %d", stream, got, want)
			}
			return m.DoubleAck(w.ctx)
		})
	}
}

// kept reports whether a watchdog outside the origin's site keeps a snapshot of a stream's consumers that says so.
func (w *world) kept(stream, words string) error {
	for _, d := range w.g.Dogs {
		if d.Site == "east" {
			continue
		}
		if err := keeps(d, stream, words); err != nil {
			return fmt.Errorf("%s: %w", d.Name, err)
		}
	}
	return nil
}
