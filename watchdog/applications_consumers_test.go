package watchdog_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// aboveFloor is how many messages a durable has acknowledged beyond its ack floor when its stream's site dies.
const aboveFloor = 51

// worker works with a durable of the origin. It looks its stream up by subject at first, and again whenever nothing comes.
type worker struct {
	*applications
	sent  int            // jobs
	seen  map[string]int // jobs by their payloads, since the last half
	acked map[string]bool
}

func (k *worker) before(t *testing.T) {
	k.acked = map[string]bool{}
	k.durable(t, "worker")
	k.half(t)
}

func (k *worker) failedOver(t *testing.T) { k.finish(t, "JOBS_WEST") }

// rejoined leaves it in the same state as before for the switchover.
func (k *worker) rejoined(t *testing.T) { k.half(t) }

func (k *worker) back(t *testing.T) { k.finish(t, "JOBS") }

// durable creates one on the origin.
func (a *applications) durable(t *testing.T, name string) {
	t.Helper()
	a.w.await(t, soon, func() error {
		js, stream, err := a.find(a.w.ctx, "jobs.>")
		if err != nil {
			return err
		}
		_, err = js.CreateConsumer(a.w.ctx, stream, jetstream.ConsumerConfig{Durable: name, FilterSubject: "jobs.work",
			AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Minute})
		return err
	})
}

// jobs publishes n more, and waits until the mirrors hold them if the origin is the primary.
func (k *worker) jobs(t *testing.T, n int) {
	t.Helper()
	js := k.js(t, "eu", "")
	var ack *jetstream.PubAck
	for range n {
		k.sent++
		k.w.await(t, soon, func() (err error) {
			ack, err = js.Publish(k.w.ctx, "jobs.work", []byte(strconv.Itoa(k.sent)), jetstream.WithMsgID(fmt.Sprint("job-", k.sent)))
			return err
		})
	}
	if ack.Stream == "JOBS" {
		k.w.awaitMirrored(t, "JOBS", ack.Sequence)
	}
}

// half publishes 200 jobs, takes 120 of them and acknowledges the first 60 and the last 51: nine are under way.
func (k *worker) half(t *testing.T) {
	t.Helper()
	k.jobs(t, 200)
	k.seen = map[string]int{}
	var held []jetstream.Msg
	k.w.await(t, soon, func() error {
		got, err := k.take(120 - len(held))
		if held = append(held, got...); err == nil && len(held) < 120 {
			err = fmt.Errorf("%d messages came", len(held))
		}
		return err
	})
	for i, m := range held {
		if i >= 60 && i < 120-aboveFloor {
			continue
		}
		if err := m.DoubleAck(k.w.ctx); err != nil {
			t.Fatal(err)
		}
		k.acked[string(m.Data())] = true
	}
}

// take fetches messages, and looks for the stream before.
func (k *worker) take(n int) ([]jetstream.Msg, error) {
	ctx, cancel := context.WithTimeout(k.w.ctx, 3*time.Second)
	defer cancel()
	js, stream, err := k.find(ctx, "jobs.>")
	if err != nil {
		return nil, err
	}
	c, err := js.Consumer(ctx, stream, "worker")
	if err != nil {
		return nil, err
	}
	return fetch(c, n)
}

func fetch(c jetstream.Consumer, n int) (list []jetstream.Msg, err error) {
	batch, err := c.Fetch(n, jetstream.FetchMaxWait(time.Second))
	if err != nil {
		return nil, err
	}
	for m := range batch.Messages() {
		list = append(list, m)
	}
	return list, batch.Error()
}

// finish works until all is done, on the stream that is the primary now: nothing may be missed, nothing come twice, and of
// what was acknowledged only what was beyond the floor come again.
func (k *worker) finish(t *testing.T, primary string) {
	t.Helper()
	if _, stream, err := k.find(k.w.ctx, "jobs.>"); err != nil || stream != primary {
		t.Errorf("the stream of jobs.> is %s, %v, want %s", stream, err, primary)
	}
	k.jobs(t, 50)
	again := 0
	k.w.await(t, soon, func() error {
		list, err := k.take(100)
		for _, m := range list {
			job := string(m.Data())
			k.seen[job]++
			if k.acked[job] && k.seen[job] == 1 {
				again++
			}
			k.acked[job] = true
			if err := m.DoubleAck(k.w.ctx); err != nil {
				return err
			}
		}
		if len(k.acked) < k.sent {
			return fmt.Errorf("%d of %d jobs are done (%w)", len(k.acked), k.sent, errors.Join(err))
		}
		return nil
	})
	twice := 0
	for _, n := range k.seen {
		if n > 1 {
			twice++
		}
	}
	t.Logf("all %d jobs done; %d that were acknowledged came again, at most %d may; %d twice", k.sent, again, aboveFloor, twice)
	if again > aboveFloor || twice > 0 {
		t.Errorf("%d acknowledged jobs came again, at most %d may; %d came twice", again, aboveFloor, twice)
	}
}

// awaitKept waits until every watchdog keeps the position of a durable of the origin, which has so many under way.
func (a *applications) awaitKept(t *testing.T, name string, pending int) {
	t.Helper()
	var floor uint64
	a.w.await(t, soon, func() error {
		js, stream, err := a.find(a.w.ctx, "jobs.>")
		if err != nil {
			return err
		}
		c, err := js.Consumer(a.w.ctx, stream, name)
		if err == nil {
			floor = c.CachedInfo().AckFloor.Stream
		}
		return err
	})
	want := regexp.MustCompile(fmt.Sprintf(`"name":%q,.*"ack_floor":%d,"acked_count":\d+,"delivered":\d+,"delivered_count":\d+,"ack_pending":%d,`, name, floor, pending))
	for _, d := range a.w.g.Dogs {
		a.w.await(t, soon, func() error {
			data, err := os.ReadFile(filepath.Join(filepath.Dir(d.ConfigFile), "data", "consumers", "JOBS.json"))
			if err == nil && !want.Match(data) {
				err = fmt.Errorf("%s keeps %s, want %s", d.Name, data, want)
			}
			return err
		})
	}
}

// bound works with a durable of the origin that it knows by the stream's name, and in domains by the domain.
type bound struct {
	*applications
	done int
	last uint64 // stream sequence
}

func (b *bound) before(t *testing.T) {
	b.durable(t, "bound")
	b.work(t, 10)
	b.awaitKept(t, "worker", 60-aboveFloor)
	b.awaitKept(t, "bound", 0)
}

// failedOver wants it to get nothing: the name stands for the dead stream.
func (b *bound) failedOver(t *testing.T) {
	c, err := b.consumer(t)
	var list []jetstream.Msg
	if err == nil {
		list, err = fetch(c, 1)
	}
	t.Logf("bound to JOBS: %d messages, %v", len(list), err)
	if err == nil || len(list) > 0 {
		t.Errorf("%d messages, %v; want none and an error", len(list), err)
	}
}

// rejoined finds the stream of that name again, a mirror, and no consumer: it was carried to the new primary.
func (b *bound) rejoined(t *testing.T) {
	if _, err := b.consumer(t); !errors.Is(err, jetstream.ErrConsumerNotFound) {
		t.Errorf("the durable on the rejoined mirror: %v, want %v", err, jetstream.ErrConsumerNotFound)
	}
}

// back has it go on after the last message that it had done.
func (b *bound) back(t *testing.T) { b.work(t, 10) }

func (b *bound) consumer(t *testing.T) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(b.w.ctx, 3*time.Second)
	defer cancel()
	return b.js(t, "eu", "east").Consumer(ctx, "JOBS", "bound")
}

func (b *bound) work(t *testing.T, n int) {
	t.Helper()
	for b.done += n; n > 0; {
		b.w.await(t, soon, func() error {
			c, err := b.consumer(t)
			if err != nil {
				return err
			}
			list, err := fetch(c, 1)
			if len(list) == 0 {
				return fmt.Errorf("no message: %w", errors.Join(err, nats.ErrTimeout))
			}
			n--
			meta, err := list[0].Metadata()
			if err != nil {
				return err
			}
			if want := b.done - n; string(list[0].Data()) != strconv.Itoa(want) {
				t.Errorf("got job %s, want %d", list[0].Data(), want)
			}
			b.last = meta.Sequence.Stream
			return list[0].DoubleAck(b.w.ctx)
		})
	}
}

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
