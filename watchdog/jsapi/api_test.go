package jsapi_test

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

func TestInfoKeepsTheRawConfig(t *testing.T) {
	c := connected(t, embedded(t, nil).ClientURL())
	create(t, c, "ORDERS", `{"name":"ORDERS","subjects":["orders.>"],"storage":"file","num_replicas":1}`)
	create(t, c, "COPY", `{"name":"COPY","mirror":{"name":"ORDERS"},"storage":"file","num_replicas":1}`)
	for range 3 {
		if _, err := c.Publish(within(t, time.Second), "orders.new", "", nil, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	var info *jsapi.Info
	eventually(t, "the mirror has followed", func() bool {
		var err error
		info, err = c.Info(within(t, time.Second), "COPY")
		return err == nil && info.State.LastSeq == 3 && info.Mirror.Active >= 0
	})
	var config map[string]any
	if err := json.Unmarshal(info.Config, &config); err != nil {
		t.Fatal(err)
	}
	if _, has := config["mirror"]; !has || config["name"] != "COPY" {
		t.Errorf("raw config: got %s", info.Config)
	}
	if info.Mirror.Name != "ORDERS" || info.Mirror.Active > 10*time.Second {
		t.Errorf("mirror: got %+v", info.Mirror)
	}
	if info.Leader() == "" || info.Created.IsZero() || info.State.Messages != 3 || info.State.FirstSeq != 1 {
		t.Errorf("info: got %+v", info)
	}
	level, _, err := c.API(within(t, time.Second))
	if err != nil || level < 2 {
		t.Errorf("API: got level %d, %v", level, err)
	}
}

func TestHoldsFrom(t *testing.T) {
	c := connected(t, embedded(t, nil).ClientURL())
	create(t, c, "ORDERS", `{"name":"ORDERS","subjects":["orders.>","plain"],"storage":"file","num_replicas":1}`)
	holds := func(from uint64, want bool) {
		t.Helper()
		if got, err := c.HoldsFrom(within(t, time.Second), "ORDERS", from); err != nil || got != want {
			t.Errorf("from %d: got %v, %v, want %v", from, got, err, want)
		}
	}
	holds(0, false)
	holds(1, false)
	for _, subject := range []string{"orders.a", "plain", "orders.c", "orders.c"} {
		if _, err := c.Publish(within(t, time.Second), subject, "", nil, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	holds(0, true)
	holds(4, true)
	holds(5, false)
	nc, err := c.Client()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nc.Request("$JS.API.STREAM.PURGE.ORDERS", []byte(`{"filter":"orders.c"}`), time.Second); err != nil {
		t.Fatal(err)
	}
	holds(2, true)
	holds(3, false)
	if info, err := c.Info(within(t, time.Second), "ORDERS"); err != nil || info.State.LastSeq != 4 || info.State.Messages != 2 {
		t.Errorf("after the purge: got %+v, %v", info, err)
	}
	if _, err := c.HoldsFrom(within(t, time.Second), "NONE", 1); !errors.Is(err, jsapi.ErrNotFound) {
		t.Errorf("no stream: got %v", err)
	}
}

// TestPurgeOneSubject wants the messages of one subject to go, and never those of all.
func TestPurgeOneSubject(t *testing.T) {
	c := connected(t, embedded(t, nil).ClientURL())
	create(t, c, "ORDERS", `{"name":"ORDERS","subjects":["orders.>"]}`)
	ctx := within(t, 5*time.Second)
	for _, subject := range []string{"orders.a", "orders.b", "orders.a"} {
		if _, err := c.Publish(ctx, subject, "", nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	counts := func() map[string]uint64 {
		info, err := c.InfoOf(ctx, "ORDERS", ">")
		if err != nil {
			t.Fatal(err)
		}
		return info.State.Subjects
	}
	if got, want := counts(), map[string]uint64{"orders.a": 2, "orders.b": 1}; !maps.Equal(got, want) {
		t.Errorf("before: got %v, want %v", got, want)
	}
	if err := c.Purge(ctx, "ORDERS", ""); !errors.Is(err, jsapi.ErrNoSubject) {
		t.Errorf("without a subject: got error %v, want %v", err, jsapi.ErrNoSubject)
	}
	if err := c.Purge(ctx, "ORDERS", "orders.a"); err != nil {
		t.Fatal(err)
	}
	if got, want := counts(), map[string]uint64{"orders.b": 1}; !maps.Equal(got, want) {
		t.Errorf("after: got %v, want %v", got, want)
	}
}

func TestNamesBySubject(t *testing.T) {
	c := connected(t, embedded(t, nil).ClientURL())
	create(t, c, "A", `{"name":"A","subjects":["a.>"]}`)
	create(t, c, "B", `{"name":"B","subjects":["b.one","$devnull.east.B"]}`)
	for _, tc := range []struct {
		subject string
		want    []string
	}{
		{"", []string{"A", "B"}},
		{"a.x", []string{"A"}},
		{"b.*", []string{"B"}},
		{"$devnull.east.B", []string{"B"}},
		{"c", []string{}},
	} {
		got, err := c.Names(within(t, time.Second), tc.subject)
		if err != nil || !slices.Equal(got, tc.want) {
			t.Errorf("Names(%q): got %v, %v, want %v", tc.subject, got, err, tc.want)
		}
	}
}

func TestPromoteDeleteReady(t *testing.T) {
	c := connected(t, embedded(t, nil).ClientURL())
	create(t, c, "ORDERS", `{"name":"ORDERS","subjects":["orders.>"]}`)
	create(t, c, "COPY", `{"name":"COPY","mirror":{"name":"ORDERS"}}`)

	if err := c.Ready(within(t, time.Second), "orders.new"); err != nil {
		t.Errorf("Ready on a bound subject: %v", err)
	}
	if err := c.Ready(within(t, time.Second), "nobody"); !errors.Is(err, jsapi.ErrNoResponders) {
		t.Errorf("Ready on a free subject: got %v", err)
	}
	promoted := json.RawMessage(`{"name":"COPY","subjects":["orders.>"]}`)
	if _, err := c.Update(within(t, time.Second), "COPY", promoted); !errors.Is(err, jsapi.ErrOverlap) {
		t.Errorf("promote onto held subjects: got %v", err)
	}
	if err := c.Delete(within(t, time.Second), "ORDERS"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Info(within(t, time.Second), "ORDERS"); !errors.Is(err, jsapi.ErrNotFound) {
		t.Errorf("Info of a deleted stream: got %v", err)
	}
	if _, err := c.Update(within(t, time.Second), "COPY", promoted); err != nil {
		t.Fatal(err)
	}
	ack, err := c.Publish(within(t, time.Second), "orders.new", "id-1", nil, nil)
	if err != nil || ack.Stream != "COPY" || ack.Seq != 1 {
		t.Errorf("publish to the promoted mirror: got %+v, %v", ack, err)
	}
	if ack, err = c.Publish(within(t, time.Second), "orders.new", "id-1", nil, nil); err != nil || !ack.Duplicate {
		t.Errorf("a retried id: got %+v, %v", ack, err)
	}
}
