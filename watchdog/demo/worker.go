package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/understudy-ha/understudy/watchdog/natslab"
)

const (
	durable    = "worker"
	workerSite = "west" // it outlives the origin
	workerWait = 300 * time.Millisecond
	workerAsk  = time.Second
	// workerIdle is how long nothing may come before the worker looks for the stream again.
	workerIdle = time.Second
	// workerAck is the time after which a message that it did not acknowledge comes again.
	workerAck = 5 * time.Second
)

// worker is an application that reads the stream through a durable consumer, acknowledging each message. It finds the
// stream by its subject, so it follows the primary wherever that is. It never creates the durable: that it is there, and
// where it stands, is what the watchdogs are asked for.
type worker struct {
	nc     *nats.Conn
	places []jetstream.JetStream // where a stream may be
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu  sync.Mutex
	got map[string]int // deliveries of each message, by id
}

// startWorker creates the durable on the origin, and begins to read.
func startWorker(ctx context.Context, s *scene) (*worker, error) {
	nc, err := s.connect(ctx, workerSite, nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	if err != nil {
		return nil, err
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	a := &worker{nc: nc, cancel: cancel, got: map[string]int{}}
	for _, site := range append(s.spares(), origin) { // a former primary may hold the subjects, too, for a moment
		js, err := jetstream.NewWithDomain(nc, s.lab.Site(site).Domain)
		if s.o.Topology != natslab.Domains {
			js, err = jetstream.New(nc)
		}
		if err != nil {
			a.stop()
			return nil, err
		}
		a.places = append(a.places, js)
	}
	if err := s.makeDurable(ctx); err != nil {
		a.stop()
		return nil, err
	}
	a.work.Go(func() { a.run(run) })
	return a, nil
}

func (s *scene) makeDurable(ctx context.Context) error {
	nc, err := s.connect(ctx, origin)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	return poll(ctx, func(ctx context.Context) error {
		_, err := js.CreateOrUpdateConsumer(ctx, streamName, jetstream.ConsumerConfig{Durable: durable, AckPolicy: jetstream.AckExplicitPolicy, AckWait: workerAck})
		return err
	})
}

// stop ends the worker and waits for it. It may be called twice.
func (a *worker) stop() {
	a.cancel()
	a.work.Wait()
	a.nc.Close()
}

func (a *worker) run(ctx context.Context) {
	for ctx.Err() == nil {
		if c, err := a.find(ctx); err == nil {
			a.read(ctx, c)
		}
		wait(ctx, retryPause)
	}
}

// find looks for the durable on the stream that holds the subjects.
func (a *worker) find(ctx context.Context) (jetstream.Consumer, error) {
	var errs []error
	for _, js := range a.places {
		c, err := a.findAt(ctx, js)
		if err == nil {
			return c, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func (a *worker) findAt(ctx context.Context, js jetstream.JetStream) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, workerAsk)
	defer cancel()
	stream, err := js.StreamNameBySubject(ctx, subjects)
	if err != nil {
		return nil, err
	}
	return js.Consumer(ctx, stream, durable)
}

// read takes messages until none come any more.
func (a *worker) read(ctx context.Context, c jetstream.Consumer) {
	const batch = 100
	for last := time.Now(); ctx.Err() == nil && time.Since(last) < workerIdle; {
		b, err := c.Fetch(batch, jetstream.FetchMaxWait(workerWait))
		if err != nil {
			return
		}
		for m := range b.Messages() {
			last = time.Now()
			a.mu.Lock()
			a.got[m.Headers().Get(nats.MsgIdHdr)]++
			a.mu.Unlock()
			_ = m.Ack() // one that is lost has the message come again
		}
		if b.Error() != nil {
			wait(ctx, retryPause)
		}
	}
}

// reads reports by nil that messages have come.
func (a *worker) reads(context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.got) < flowingAcks {
		return fmt.Errorf("the worker got %d messages, want %d", len(a.got), flowingAcks)
	}
	return nil
}

// snapshotsTaken reports by nil that the surviving watchdogs hold a snapshot of the durable: they take one now and then, and
// the fault must not come before the first one.
func (st *story) snapshotsTaken(context.Context) error {
	if !consumersAreCarried {
		return nil
	}
	for _, d := range st.w.dogs() {
		file := filepath.Join(d.DataDir(), "consumers", streamName+".json")
		b, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("%s has no snapshot of consumers yet: %w", d.Name, err)
		}
		if !bytes.Contains(b, []byte(`"`+durable+`"`)) {
			return fmt.Errorf("%s has no snapshot of %s yet", d.Name, durable)
		}
	}
	return nil
}

// missed counts the ids that it never got; again counts the deliveries beyond each one's first.
func (a *worker) missed(ids map[string]bool) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for id := range ids {
		if a.got[id] == 0 {
			n++
		}
	}
	return n
}

func (a *worker) again() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, times := range a.got {
		n += times - 1
	}
	return n
}

// untilAll waits until it has got all of some messages.
func (a *worker) untilAll(ctx context.Context, ids map[string]bool) error {
	return poll(ctx, func(context.Context) error {
		if n := a.missed(ids); n > 0 {
			return fmt.Errorf("the worker lacks %d of %d messages", n, len(ids))
		}
		return nil
	})
}

// lookForDurable counts the durable if it is on the primary.
func (st *story) lookForDurable(ctx context.Context) error {
	id := st.w.stream.Primary
	nc, err := st.connect(ctx, id.Site)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	c, err := js.Consumer(ctx, id.Stream, durable)
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound):
		st.carried = append(st.carried, 0)
		st.tell.now("worker", "worker", fmt.Sprintf("its durable is not on %s", id))
		return nil
	case err != nil:
		return fmt.Errorf("look for the durable on %s: %w", id, err)
	}
	st.carried = append(st.carried, 1)
	st.tell.now("worker", "worker", fmt.Sprintf("its durable was carried to %s, and stands at sequence %d", id, c.CachedInfo().AckFloor.Stream))
	return nil
}
