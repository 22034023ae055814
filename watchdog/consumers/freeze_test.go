package consumers_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/consumers"
)

const ownPause = `"pause_until":"2101-01-01T00:00:00Z"`

// TestFreeze stops a primary's consumers, reads them exactly, and lets them go on as they were.
func TestFreeze(t *testing.T) {
	r := onServer(t, embedded(t).ClientURL(), "FREEZE")
	r.consumer(t, "PULL", `"deliver_policy":"all","ack_policy":"explicit"`)
	r.consumer(t, "PUSH", `"deliver_policy":"all","ack_policy":"none","deliver_subject":"to.FREEZE"`)
	r.consumer(t, "PAUSED", `"deliver_policy":"all","ack_policy":"explicit",`+ownPause)
	r.publish(t, "east", 10)
	held := r.pull(t, "east", r.origin.Stream, "PULL", 6)
	known := r.take(t)

	acked := make(chan error, 1)
	go func() { // while it is frozen
		var errs []error
		for _, g := range held {
			errs = append(errs, g.ack())
		}
		acked <- errors.Join(errs...)
	}()
	frozen := r.freeze(t, known.Consumers, soon)
	must(t, <-acked)
	again := r.freeze(t, frozen.Consumers, 0)
	for _, snap := range []policy.ConsumerSnapshot{frozen, again} {
		for _, c := range snap.Consumers {
			if want := map[string]uint64{"PULL": 7, "PUSH": 1, "PAUSED": 1}[c.Name]; consumers.Position(c, 10) != want || !c.Frozen {
				t.Errorf("%s stands at %d, want %d; frozen %v", c.Name, consumers.Position(c, 10), want, c.Frozen)
			}
			if paused := !c.PausedUntil.IsZero(); paused != (c.Name == "PAUSED") {
				t.Errorf("%s: paused by its application until %s", c.Name, c.PausedUntil)
			}
		}
	}
	sub := r.subscribe(t, "east")
	r.publish(t, "east", 1)
	if none := r.nothing(t, "PULL"); none != nil {
		t.Error(none)
	}
	must(t, consumers.Release(within(t), r.conn["east"], r.origin.Stream, again.Consumers))
	if _, err := sub.NextMsg(soon); err != nil {
		t.Errorf("the push consumer does not go on: %v", err)
	}
	r.pull(t, "east", r.origin.Stream, "PULL", 5)
	if info := r.info(t, "east", r.origin.Stream, "PAUSED"); !info.Paused || parsed(t, info.Config)["pause_until"] != "2101-01-01T00:00:00Z" {
		t.Errorf("the application's own pause: %s", info.Config)
	}
}

func (r *rig) freeze(t *testing.T, known []policy.Consumer, patience time.Duration) policy.ConsumerSnapshot {
	t.Helper()
	snap, err := consumers.Freeze(within(t), r.conn["east"], r.origin, 4, known, patience)
	if err != nil || len(snap.Consumers) != 3 {
		t.Fatalf("freeze: %d consumers, %v", len(snap.Consumers), err)
	}
	return snap
}

// nothing checks that a consumer of the origin delivers nothing.
func (r *rig) nothing(t *testing.T, name string) error {
	t.Helper()
	js, err := jetstream.New(r.nc["east"])
	if err != nil {
		t.Fatal(err)
	}
	c, err := js.Consumer(within(t), r.origin.Stream, name)
	if err != nil {
		t.Fatal(err)
	}
	batch, err := c.Fetch(1, jetstream.FetchMaxWait(300*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	for m := range batch.Messages() {
		return fmt.Errorf("%s delivers %s", name, m.Subject())
	}
	return nil
}

// TestFreezeIsBounded gives up waiting for acknowledgements that do not come, and for a stream that is not there.
func TestFreezeIsBounded(t *testing.T) {
	r := onServer(t, embedded(t).ClientURL(), "BOUNDED")
	for _, name := range []string{"A", "B", "C"} {
		r.consumer(t, name, `"deliver_policy":"all","ack_policy":"explicit"`)
	}
	r.publish(t, "east", 3)
	r.pull(t, "east", r.origin.Stream, "A", 2)
	if snap := r.freeze(t, nil, 50*time.Millisecond); snap.Consumers[0].AckPending != 2 {
		t.Errorf("%+v", snap.Consumers[0])
	}
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	if _, err := consumers.Freeze(ctx, r.conn["east"], policy.MemberID{Site: "east", Stream: "NONE"}, 1, nil, 0); err == nil || ctx.Err() != nil {
		t.Errorf("a stream that does not exist: %v", err)
	}
}
