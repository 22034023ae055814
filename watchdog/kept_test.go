package watchdog_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/understudy-ha/understudy/watchdog/grouplab"
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
				w.await(t, soon, func() error { return keeps(d, "ORDERS", `"name":"BILLING"`) })
			}
		})
	}
}

// keeps reports whether a watchdog has a snapshot of a stream's consumers on disk that holds some words.
func keeps(d *grouplab.Dog, stream, words string) error {
	files, err := filepath.Glob(filepath.Join(filepath.Dir(d.ConfigFile), "*", "consumers", stream+".json"))
	if err != nil || len(files) != 1 {
		return fmt.Errorf("%s keeps %v, %v", d.Name, files, err)
	}
	data, err := os.ReadFile(files[0])
	if err == nil && !strings.Contains(string(data), words) {
		err = fmt.Errorf("%s keeps %s", d.Name, data)
	}
	return err
}
