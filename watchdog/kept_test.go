package watchdog_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/understudy-ha/understudy/watchdog/natslab"
)

// TestConsumersAreKept has every watchdog of a group keep where an application's consumer stands, in every topology.
func TestConsumersAreKept(t *testing.T) {
	for _, topology := range []natslab.Topology{natslab.Domains, natslab.Supercluster} {
		t.Run(string(topology), func(t *testing.T) {
			t.Parallel()
			w := start(t, setup{topology: topology, streams: []stream{{name: "ORDERS", extra: "consumers: {every: 1s}"}}})
			create := map[string]any{"stream_name": "ORDERS", "action": "create",
				"config": map[string]any{"durable_name": "BILLING", "ack_policy": "explicit"}}
			if err := w.ask("east", "CONSUMER.CREATE.ORDERS.BILLING", create, nil); err != nil {
				t.Fatal(err)
			}
			for _, d := range w.g.Dogs {
				w.await(t, soon, func() error {
					file, err := filepath.Glob(filepath.Join(filepath.Dir(d.ConfigFile), "*", "consumers", "ORDERS.json"))
					if err != nil || len(file) != 1 {
						return fmt.Errorf("%s keeps %v, %v", d.Name, file, err)
					}
					data, err := os.ReadFile(file[0])
					if err == nil && !strings.Contains(string(data), `"name":"BILLING"`) {
						err = fmt.Errorf("%s keeps %s", d.Name, data)
					}
					return err
				})
			}
		})
	}
}
