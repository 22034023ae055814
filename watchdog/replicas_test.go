package watchdog_test

import (
	"testing"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/grouplab"
	"github.com/understudy-ha/understudy/watchdog/natslab"
)

// TestReplicas loses a site of three servers, with streams of three replicas, and gets it back.
func TestReplicas(t *testing.T) {
	for _, topology := range []natslab.Topology{natslab.Domains, natslab.Supercluster} {
		t.Run(string(topology), func(t *testing.T) {
			t.Parallel()
			w := start(t, setup{topology: topology, servers: 3, streams: []stream{{name: "ORDERS", onlyWest: true}},
				settings: grouplab.Settings{Every: time.Second}})
			w.publish(t, "east", "ORDERS", messages)
			var stored []string
			last := w.mustInfo(t, "east", "ORDERS").State.LastSeq
			for seq := uint64(1); seq <= last; seq++ {
				stored = append(stored, w.message(t, "east", "ORDERS", seq))
			}
			w.loseEast(t)
			st := w.awaitState(t, 2*outage, "ORDERS", api.StateFailedOver, "")
			if st.Epoch != 1 || st.Loss.AtLeast != 0 {
				t.Errorf("epoch %d, loss %+v", st.Epoch, st.Loss)
			}
			if err := w.bound("west", "ORDERS_WEST", "ORDERS"); err != nil {
				t.Error(err)
			}
			for n, want := range stored {
				if got := w.message(t, "west", "ORDERS_WEST", uint64(n+1)); got != want {
					t.Errorf("message %d is %s, the origin had %s", n+1, got, want)
				}
			}
			if ack := w.publish(t, "eu", "ORDERS", 1); ack.Stream != "ORDERS_WEST" || ack.Sequence != last+1 {
				t.Errorf("next message: %+v, want %d in ORDERS_WEST", ack, last+1)
			}
			w.restoreEast(t)
			w.awaitState(t, 2*outage, "ORDERS", api.StateReturned, policy.Healthy)
			w.await(t, soon, func() error { return w.parked("east", "ORDERS") })
		})
	}
}
