package watchdog_test

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// ordered reads with ordered consumers: one of the mirror that is promoted, one of the origin.
type ordered struct {
	*applications
	mirror, origin *reading
	died           int // the last job before the failover
}

func (o *ordered) before(t *testing.T) {
	o.mirror = o.read(t, o.js(t, "west", ""), "JOBS_WEST")
	o.origin = o.read(t, o.js(t, "eu", "east"), "JOBS")
	o.died = o.sent(t)
	for _, r := range []*reading{o.mirror, o.origin} {
		o.w.await(t, soon, func() error { return r.whole(o.sent(t)) })
	}
}

// failedOver wants the reader of the mirror to go on, and the other one to be silent: it has all from before, and no more.
func (o *ordered) failedOver(t *testing.T) {
	o.w.await(t, soon, func() error { return o.mirror.whole(o.sent(t)) })
	if err := o.origin.whole(o.died); err != nil {
		t.Error(err)
	}
}

// rejoined wants the reader of the origin to go on by itself, now that its stream is there again.
func (o *ordered) rejoined(t *testing.T) {
	o.w.await(t, outage, func() error { return o.origin.whole(o.sent(t)) })
}

func (o *ordered) back(t *testing.T) {
	for _, r := range []*reading{o.mirror, o.origin} {
		o.w.await(t, outage, func() error { return r.whole(o.sent(t)) })
		t.Logf("reader of %s: errors on its way: %q", r.stream, r.errs)
	}
}

// sent is the number of the last job in the primary.
func (o *ordered) sent(t *testing.T) int {
	js, stream, err := o.find(o.w.ctx, "jobs.>")
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(o.w.ctx, stream)
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.GetLastMsgForSubject(o.w.ctx, "jobs.work")
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(string(m.Data))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// reading is what one ordered consumer has got.
type reading struct {
	stream string
	mu     sync.Mutex
	jobs   []string
	errs   []string
}

// read reads until the world ends.
func (o *ordered) read(t *testing.T, js jetstream.JetStream, stream string) *reading {
	t.Helper()
	c, err := js.OrderedConsumer(o.w.ctx, stream, jetstream.OrderedConsumerConfig{FilterSubjects: []string{"jobs.work"}})
	if err != nil {
		t.Fatal(err)
	}
	r := &reading{stream: stream}
	consuming, err := c.Consume(func(m jetstream.Msg) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.jobs = append(r.jobs, string(m.Data()))
	}, jetstream.PullHeartbeat(time.Second), jetstream.PullExpiry(5*time.Second), jetstream.ConsumeErrHandler(func(_ jetstream.ConsumeContext, err error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.errs = append(r.errs, err.Error())
	}))
	if err != nil {
		t.Fatal(err)
	}
	o.cleanup(consuming.Stop)
	return r
}

// whole wants jobs 1 to n, each once and in order.
func (r *reading) whole(n int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, job := range r.jobs {
		if job != strconv.Itoa(i+1) {
			return fmt.Errorf("the reader of %s got job %s after %d", r.stream, job, i)
		}
	}
	if len(r.jobs) != n {
		return fmt.Errorf("the reader of %s has got %d jobs, want %d; errors: %s", r.stream, len(r.jobs), n, strings.Join(r.errs, ", "))
	}
	return nil
}
