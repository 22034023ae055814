package consumers_test

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/consumers"
)

// TestTakePages reads, carries and releases more consumers than a page or two hold.
func TestTakePages(t *testing.T) {
	const many = 600
	r := rigOn(t, embedded(t).ClientURL(), "MANY")
	r.storage = "memory" // a server that stops takes long over 1,200 consumers on file
	r.create(t)
	r.consumersOf(t, many)
	r.publish(t, "east", 3)
	for _, g := range r.pull(t, "east", r.origin.Stream, "C300", 2) {
		must(t, g.ack())
	}
	r.settle(t)
	began := time.Now()
	snap := r.take(t)
	t.Logf("%d taken in %s", len(snap.Consumers), time.Since(began))
	if len(snap.Consumers) != many {
		t.Fatalf("%d consumers, want %d", len(snap.Consumers), many)
	}
	target := r.target(t, r.promote(t))
	began = time.Now()
	prepared := target.Prepare(within(t), snap.Consumers)
	if _, err := target.Reset(within(t), prepared); err != nil {
		t.Fatal(err)
	}
	t.Logf("prepared and reset in %s", time.Since(began))
	for i, p := range prepared {
		want := policy.ConsumerOutcome{Name: fmt.Sprintf("C%03d", i), How: policy.ConsumerCreated, From: 1}
		if i == 300 {
			want.How, want.From = policy.ConsumerReset, 3
		}
		if p.Err != nil || p.ConsumerOutcome != want {
			t.Errorf("got %+v, want %+v", p, want)
		}
	}
	r.bind(t)
	began = time.Now()
	must(t, consumers.Release(within(t), r.conn["west"], r.mirror.Stream, snap.Consumers))
	t.Logf("released in %s", time.Since(began))
}

// consumersOf makes so many consumers, C000 and on.
func (r *rig) consumersOf(t *testing.T, many int) {
	t.Helper()
	next, errs := make(chan int), make(chan error, many)
	var makers sync.WaitGroup
	for range 32 {
		makers.Go(func() {
			for n := range next {
				config := fmt.Sprintf(`{"durable_name":"C%03d","deliver_policy":"all","ack_policy":"explicit"}`, n)
				_, err := r.conn["east"].CreateConsumer(within(t), r.origin.Stream, fmt.Sprintf("C%03d", n), json.RawMessage(config), "")
				errs <- err
			}
		})
	}
	for n := range many {
		next <- n
	}
	close(next)
	makers.Wait()
	for range many {
		must(t, <-errs)
	}
}

// TestTakeLeavesOut has all kinds of consumers on one stream.
func TestTakeLeavesOut(t *testing.T) {
	r := onServer(t, embedded(t).ClientURL(), "KINDS") // whose mirror follows by a direct consumer
	r.consumer(t, "APP", `"deliver_policy":"all","ack_policy":"explicit"`)
	conn := r.conn["east"]
	if _, err := conn.CreateConsumer(within(t), r.origin.Stream, "NAMED", json.RawMessage(`{"name":"NAMED","inactive_threshold":60000000000}`), ""); err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(r.nc["east"])
	if err != nil {
		t.Fatal(err)
	}
	ordered, err := js.OrderedConsumer(within(t), r.origin.Stream, jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	r.publish(t, "east", 1)
	if _, err := ordered.Next(); err != nil {
		t.Fatal(err)
	}
	snap := r.take(t)
	if len(snap.Consumers) != 1 || snap.Consumers[0].Name != "APP" {
		t.Errorf("taken: %+v", snap.Consumers)
	}
	info, err := conn.Info(within(t), r.origin.Stream)
	if err != nil || !snap.Created.Equal(info.Created) || snap.Stream != r.origin {
		t.Errorf("snapshot of %s, created %s (%v)", snap.Stream, snap.Created, err)
	}
}
