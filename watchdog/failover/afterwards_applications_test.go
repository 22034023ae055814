//go:build failpoint

package failover_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/understudy-ha/understudy/watchdog/natslab"
)

const (
	durable   = "APP"
	processed = 3           // messages that the durable's application has acknowledged before the origin is replaced
	before    = 5           // messages that a stream with applications has then
	patience  = time.Minute // until something on a server is as wanted
)

// sourcingName is the stream at eu that sources from a guarded one.
func sourcingName(s guarded) string { return s.Name + "_SRC" }

// durables are the streams with a durable.
func (w *afterwards) durables() []guarded {
	return w.those(func(s guarded) bool { return s.durable })
}

// sourced are the streams that another one sources from.
func (w *afterwards) sourced() []guarded {
	return w.those(func(s guarded) bool { return s.sourced })
}

func (w *afterwards) those(ok func(guarded) bool) []guarded {
	return slices.DeleteFunc(slices.Clone(w.streams), func(s guarded) bool { return !ok(s) })
}

// startApplications gives streams more messages, a durable in the middle of them, or a stream that sources from them.
func (w *afterwards) startApplications(ctx context.Context, t *testing.T) {
	t.Helper()
	for _, s := range slices.Concat(w.durables(), w.sourced()) {
		var subjects []string
		for i := range before - 1 {
			subjects = append(subjects, fmt.Sprintf("%s.work.%d", s.Name, i))
		}
		w.publishAt(ctx, t, "east", s, subjects...)
	}
	for _, s := range w.durables() {
		c, err := w.js(ctx, t, "east").CreateConsumer(ctx, s.Name, jetstream.ConsumerConfig{Durable: durable, AckPolicy: jetstream.AckExplicitPolicy})
		if err != nil {
			t.Fatalf("create a durable of %s: %v", s.Name, err)
		}
		w.work(ctx, t, c, processed)
	}
	for _, s := range w.sourced() {
		w.makeSourcing(ctx, t, s)
	}
}

func (w *afterwards) makeSourcing(ctx context.Context, t *testing.T, s guarded) {
	t.Helper()
	c := jetstream.StreamConfig{Name: sourcingName(s), Sources: []*jetstream.StreamSource{{Name: s.Name}}}
	if w.lab.Topology() == natslab.Domains {
		c.Sources[0].External = &jetstream.ExternalStream{APIPrefix: "$JS.east.API"}
	} else {
		c.Placement = &jetstream.Placement{Cluster: "eu"}
	}
	if _, err := w.js(ctx, t, "eu").CreateStream(ctx, c); err != nil {
		t.Fatalf("create %s: %v", c.Name, err)
	}
}

// work has an application take and acknowledge messages, and returns their subjects.
func (w *afterwards) work(ctx context.Context, t *testing.T, c jetstream.Consumer, n int) []string {
	t.Helper()
	batch, err := c.Fetch(n, jetstream.FetchMaxWait(5*time.Second))
	if err != nil {
		t.Fatalf("fetch from a durable: %v", err)
	}
	var subjects []string
	for m := range batch.Messages() {
		if err := m.DoubleAck(ctx); err != nil {
			t.Fatalf("acknowledge %s: %v", m.Subject(), err)
		}
		subjects = append(subjects, m.Subject())
	}
	return subjects
}

// publishAt publishes to a stream, wherever its subjects are, and keeps what was acked.
func (w *afterwards) publishAt(ctx context.Context, t *testing.T, site string, s guarded, subjects ...string) {
	t.Helper()
	w.publish(ctx, t, site, subjects...)
	w.acked[s.Name] = append(w.acked[s.Name], subjects...)
}

// awaitKept waits until the watchdogs that outlive east know where its durables stand.
func (w *afterwards) awaitKept(ctx context.Context, t *testing.T) {
	t.Helper()
	want := fmt.Sprintf(`"ack_floor":%d`, processed)
	for _, s := range w.those(func(s guarded) bool { return s.durable && len(s.shared[setTakeover]) > 0 }) {
		for _, d := range w.g.Dogs {
			file := filepath.Join(d.DataDir(), "consumers", s.Name+".json")
			w.until(ctx, t, func() error { return contains(file, want) })
		}
	}
}

func contains(file, words string) error {
	data, err := os.ReadFile(file)
	if err == nil && !strings.Contains(string(data), words) {
		err = fmt.Errorf("%s has no %s: %s", file, words, data)
	}
	return err
}

// awaitAhead waits until the streams at eu hold what those at west do not get.
func (w *afterwards) awaitAhead(ctx context.Context, t *testing.T) {
	t.Helper()
	want := map[string]int{}
	for _, s := range w.sets[setRepoint] {
		want[s.Mirrors["eu"]] = 1 + ahead
	}
	for _, s := range w.sourced() {
		want[sourcingName(s)] = before + ahead
	}
	for name, n := range want {
		w.until(ctx, t, func() error { return w.holds(ctx, t, name, n) })
	}
}

// holds says whether a stream at eu holds so many messages.
func (w *afterwards) holds(ctx context.Context, t *testing.T, name string, n int) error {
	t.Helper()
	stream, err := w.js(ctx, t, "eu").Stream(ctx, name)
	if err == nil && stream.CachedInfo().State.Msgs != uint64(n) {
		err = fmt.Errorf("%s holds %d messages, want %d", name, stream.CachedInfo().State.Msgs, n)
	}
	return err
}

// until polls until check returns nil.
func (w *afterwards) until(ctx context.Context, t *testing.T, check func() error) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		err := check()
		if err == nil {
			return
		}
		if ctx.Err() != nil || time.Since(began) > patience {
			t.Fatal(err)
		}
	}
}

// checkApplications wants the durables to go on right behind what was acknowledged, and the sourcing streams to have what they
// took from the old origin, and all of the new primary from the fork on.
func (w *afterwards) checkApplications(ctx context.Context, t *testing.T) {
	t.Helper()
	for _, s := range w.durables() {
		w.checkDurable(ctx, t, s, w.read(ctx, t, "west", s.Mirrors["west"]).subjects[processed:])
	}
	for _, s := range w.sourced() {
		rest := w.read(ctx, t, "west", s.Mirrors["west"]).subjects[before:]
		w.until(ctx, t, func() error { return w.sourcedWhole(ctx, t, s, rest) })
	}
}

// sourcedWhole says whether a sourcing stream holds the beginning of its old origin, and after that the rest of the primary. One
// whose halt was logged and not sent may have followed the origin further, once that was back.
func (w *afterwards) sourcedWhole(ctx context.Context, t *testing.T, s guarded, rest []string) error {
	t.Helper()
	got := w.read(ctx, t, "eu", sourcingName(s)).subjects
	of := min(max(len(got)-len(rest), before+ahead), before+ahead+s.tail())
	if want := append(slices.Clone(w.acked[s.Name][:of]), rest...); !slices.Equal(got, want) {
		return fmt.Errorf("%s holds %d messages: %.20v, want %d: %.20v", sourcingName(s), len(got), got, len(want), want)
	}
	return nil
}

func (w *afterwards) checkDurable(ctx context.Context, t *testing.T, s guarded, want []string) {
	t.Helper()
	c, err := w.js(ctx, t, "west").Consumer(ctx, s.Mirrors["west"], durable)
	if err != nil {
		t.Errorf("%s: the durable at west: %v", s.Name, err)
		return
	}
	if i := c.CachedInfo(); i.Paused || i.Config.PauseUntil != nil && !i.Config.PauseUntil.IsZero() {
		t.Errorf("%s: the durable is left paused until %v", s.Name, i.Config.PauseUntil)
		return
	}
	if got := w.work(ctx, t, c, len(want)); !slices.Equal(got, want) {
		t.Errorf("%s: the durable goes on with %v, want %v", s.Name, got, want)
	}
	if i, err := c.Info(ctx); err != nil || i.NumPending+uint64(i.NumAckPending) > 0 {
		t.Errorf("%s: the durable has more to come: %+v, %v", s.Name, i, err)
	}
}
