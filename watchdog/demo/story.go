package demo

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/natslab"
)

// storySettings have the watchdogs do what is otherwise left to a person, and read the consumers' positions more often, since
// the worker reads for some seconds only.
const storySettings = "\nrejoin: auto\nrepoint: auto\nconsumers: {every: 1s}"

const (
	// tailAcks is how many messages the publisher at the origin's site gets acked that never leave it.
	tailAcks = 100
	// actPatience is how long one act may take at most, on a busy machine.
	actPatience = 90 * time.Second
)

// validateStory refuses a world without a failover, in which there is nothing to come back from.
func (o Options) validateStory() error {
	if o.Mode != policy.ModeUnattended {
		return fmt.Errorf("story in mode %s: want %s, since nobody is there to approve", o.Mode, policy.ModeUnattended)
	}
	want, err := Expected(o.Fault, o.Topology, o.Mode)
	if err != nil {
		return err
	}
	if want.Outcome != FailedOver {
		return fmt.Errorf("story of fault %s in topology %s: there is no failover (%s) to come back from; kill and pause fail over in domains and supercluster",
			o.Fault, o.Topology, want.Reason)
	}
	return nil
}

// story is a failover and the way back.
type story struct {
	*scene
	w      *watcher
	p      *publishers
	worker *worker

	promotions int // after the failover
	carried    []int
	replayed   replayed
	attempts   int           // of the publishers, when the switchover was asked for
	gap        time.Duration // of the switchover
	done       bool          // all acts came to their end
}

// playStory plays one act after the other. An act that does not come to its end is the last one: then the accounts say
// how far it went.
func playStory(ctx context.Context, w *watcher) (Result, error) {
	st := &story{scene: w.s, w: w, p: w.p, replayed: replayed{}}
	building, cancel := context.WithTimeout(ctx, buildTime)
	defer cancel()
	var err error
	if st.worker, err = startWorker(building, w.s); err != nil {
		return Result{}, fmt.Errorf("start the worker: %w", err)
	}
	defer st.worker.stop()
	for _, ready := range []func(context.Context) error{st.worker.reads, st.snapshotsTaken} {
		if err := poll(building, ready); err != nil {
			return Result{}, err
		}
	}
	for _, act := range []func(context.Context) error{st.lose, st.comeBack, st.switchBack} {
		err := act(ctx)
		if errors.Is(err, errStuck) {
			st.tell.now("demo", "stuck", err.Error())
			return st.account(ctx)
		}
		if err != nil {
			return Result{}, err
		}
	}
	st.done = true
	return st.account(ctx)
}

// errStuck says that what an act waits for does not come.
var errStuck = errors.New("it does not come to its end")

// until watches until something holds.
func (st *story) until(ctx context.Context, what string, holds func() error) error {
	end := time.Now().Add(actPatience)
	for {
		st.w.look(ctx)
		err := holds()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case time.Now().After(end):
			return fmt.Errorf("%w: %s: %w", errStuck, what, err)
		}
		wait(ctx, pollEvery)
	}
}

// meanwhile does something, and watches until it is done.
func (st *story) meanwhile(ctx context.Context, act func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, actPatience)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- act(ctx) }()
	for {
		select {
		case err := <-done:
			return err
		default:
			st.w.look(ctx)
			wait(ctx, pollEvery)
		}
	}
}

// chapter begins a new part, when what belongs to the one before has been told.
func (st *story) chapter(ctx context.Context, title string) error {
	err := st.listen(ctx)
	st.tell.chapter(title)
	return err
}

// listen looks on for as long as something may be learned late.
func (st *story) listen(ctx context.Context) error {
	from := time.Now()
	return st.until(ctx, "telling", func() error {
		if time.Since(from) < tellDelay {
			return errors.New("more may come")
		}
		return nil
	})
}

// lose is the failover, with a tail: before the fault the origin's site is cut off from replication for as long as its own
// publisher needs for some messages.
func (st *story) lose(ctx context.Context) error {
	st.tell.chapter("1. The origin is lost, with messages that nobody else has")
	if err := st.cutAndInflict(ctx); err != nil {
		return fmt.Errorf("do the fault: %w", err)
	}
	if err := st.w.untilSettled(ctx); err != nil {
		return err
	}
	if !st.w.failedOver() {
		return fmt.Errorf("%w: no failover (%s)", errStuck, st.w.stream.Reason.Code)
	}
	var err error
	if st.promotions, err = st.scene.promotions(ctx); err != nil {
		return fmt.Errorf("count the promotions: %w", err)
	}
	return st.lookForDurable(ctx)
}

func (st *story) cutAndInflict(ctx context.Context) error {
	if st.o.Fault == Partition { // the tail comes by itself
		return st.doFault(ctx, st.w, st.p)
	}
	st.tell.now("FAULT", "fault", fmt.Sprintf("%s is cut off from replication and from the publishers outside; inside, one goes on", origin))
	attempts := len(st.p.since(0))
	if err := st.replication(natslab.BlackHole); err != nil {
		return err
	}
	cut, cancel := context.WithTimeout(ctx, actPatience)
	defer cancel()
	err := poll(cut, func(context.Context) error {
		if n := st.p.insideAcked(attempts); n < tailAcks {
			return fmt.Errorf("the publisher at %s has %d acks since the cut, want %d", origin, n, tailAcks)
		}
		return nil
	})
	if err != nil {
		return err
	}
	st.w.begin(ctx, fmt.Sprintf("%s; %d messages were acked there since the cut", faultText(st.o), st.p.insideAcked(attempts)))
	return st.inflict(ctx)
}

// replication sets the links over which the mirrors follow the origin.
func (s *scene) replication(how natslab.LinkState) error {
	if s.o.Topology == natslab.Domains {
		return s.lab.CutPair(origin, s.lab.Hub().Name, how)
	}
	var errs []error
	for _, site := range s.spares() {
		errs = append(errs, s.lab.CutPair(origin, site, how))
	}
	return errors.Join(errs...)
}

// comeBack has the old origin return, and waits until it follows the new primary. Its tail is replayed on the way.
func (st *story) comeBack(ctx context.Context) error {
	if err := st.chapter(ctx, "2. The old origin returns"); err != nil {
		return err
	}
	returned := time.Now()
	if err := st.meanwhile(ctx, st.bringBack); err != nil {
		return fmt.Errorf("bring %s back: %w", origin, err)
	}
	err := st.until(ctx, "the tail is archived", func() error {
		if len(st.w.stream.Archives) == 0 {
			return fmt.Errorf("no archive yet, the stream is %s (%s)", st.w.stream.State, st.w.stream.Reason.Code)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := st.replay(ctx); err != nil {
		return err
	}
	if err := st.until(ctx, "all follow the new primary", func() error { return inOrder(st.w.stream) }); err != nil {
		return err
	}
	if err := st.replay(ctx); err != nil { // a mirror may have had a tail of its own
		return err
	}
	st.tell.now("demo", "rejoined", fmt.Sprintf("%s follows %s, %s after its return; it is an equal mirror now",
		origin, st.w.stream.Primary, seconds(time.Since(returned))))
	return nil
}

// bringBack undoes the fault, on the old stores.
func (st *story) bringBack(ctx context.Context) error {
	if err := st.replication(natslab.Open); err != nil {
		return err
	}
	site := st.lab.Site(origin)
	what := "its power is back: its servers and its watchdog start, on their old stores"
	act := func() error { return atOnce(func() error { return site.Restart(ctx) }, st.dog().Start) }
	switch st.o.Fault {
	case Pause:
		what = "it goes on where it was frozen (SIGCONT)"
		act = func() error { return atOnce(site.Resume, func() error { return st.dog().Signal(syscall.SIGCONT) }) }
	case Partition:
		what = "it can be reached again; inside, it went on all the time"
		act = func() error { return st.lab.Heal(origin) }
	}
	st.tell.now(origin, "returns", what)
	return act()
}

// inOrder reports by nil that a stream is healthy and all other members are mirrors that could take over.
func inOrder(e api.StreamStatus) error {
	if e.State != api.StateHealthy || e.Reason.Code != policy.Healthy || e.Attempt != nil || len(e.Aftercare) > 0 {
		err := fmt.Errorf("the stream is %s: %s", e.State, e.Reason.Text)
		for _, c := range e.Aftercare {
			err = fmt.Errorf("%w; %s is at %s: %s", err, c.Member, c.Phase, c.Waiting.Text)
		}
		return err
	}
	for _, m := range e.Members {
		if m.Role != "primary" && (m.Role != "mirror" || !m.Eligible) {
			return fmt.Errorf("%s/%s is a %s: %s", m.Site, m.Stream, m.Role, m.Text)
		}
	}
	return nil
}
