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

// storySettings have the watchdogs do what is otherwise left to a person.
const storySettings = "\nrejoin: auto\nrepoint: auto"

const (
	// tailAcks is how many messages the publisher at the origin's site gets acked that never leave it.
	tailAcks = 100
	// actPatience is how long one act may take at most, on a busy machine.
	actPatience = 90 * time.Second
	// switchoverDeadline is the operator's: a switchover that takes longer goes back.
	switchoverDeadline = 20 * time.Second
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
	var err error
	if st.worker, err = startWorker(ctx, w.s); err != nil {
		return Result{}, fmt.Errorf("start the worker: %w", err)
	}
	defer st.worker.stop()
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

// chapter begins a new part, when what belongs to the one before has been told.
func (st *story) chapter(ctx context.Context, title string) error {
	from := time.Now()
	err := st.until(ctx, "telling", func() error {
		if time.Since(from) < tellDelay {
			return errors.New("more may come")
		}
		return nil
	})
	st.tell.chapter(title)
	return err
}

// lose is the failover, with a tail: before the fault the origin's site is cut off from replication for as long as its own
// publisher needs for some messages.
func (st *story) lose(ctx context.Context) error {
	if err := poll(ctx, func(context.Context) error { return st.worker.reads() }); err != nil {
		return err
	}
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
	err := poll(ctx, func(context.Context) error {
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
	if err := st.bringBack(ctx); err != nil {
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
	if e.State != api.StateHealthy || e.Attempt != nil || len(e.Aftercare) > 0 {
		return fmt.Errorf("the stream is %s (%s), with %d members in care", e.State, e.Reason.Text, len(e.Aftercare))
	}
	for _, m := range e.Members {
		if m.Role != "primary" && (m.Role != "mirror" || !m.Eligible) {
			return fmt.Errorf("%s/%s is a %s: %s", m.Site, m.Stream, m.Role, m.Text)
		}
	}
	return nil
}

// switchBack makes the origin the primary again, by the operator's command.
func (st *story) switchBack(ctx context.Context) error {
	if err := st.chapter(ctx, "3. The way back: a switchover, while everybody publishes"); err != nil {
		return err
	}
	st.attempts = len(st.p.since(0))
	epoch, err := st.askForSwitchover(ctx)
	if err != nil {
		return err
	}
	err = st.until(ctx, "the switchover", func() error {
		if l := st.w.stream.Last; l == nil || l.Epoch < epoch {
			return fmt.Errorf("it is at %s", st.w.stream.Phase)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if l := st.w.stream.Last; l.Phase != policy.PhaseDone {
		return fmt.Errorf("%w: the switchover ended %s: %s", errStuck, l.Phase, l.Waiting.Text)
	}
	if err := st.until(ctx, "publishers go on", func() error { return st.p.flowingSince(st.attempts, streamName) }); err != nil {
		return err
	}
	var resumed time.Time
	st.gap, resumed = longestGap(st.p.since(st.attempts))
	st.tell.at(resumed, "publishers", "resumed", fmt.Sprintf("go on; for %d ms nothing was acked", st.gap.Milliseconds()))
	if err := st.lookForDurable(ctx); err != nil {
		return err
	}
	if err := st.until(ctx, "all follow the origin again", func() error { return inOrder(st.w.stream) }); err != nil {
		return err
	}
	return st.chapter(ctx, "4. The accounts")
}

// askForSwitchover asks until it is granted: right after a rejoin it may be refused for a moment.
func (st *story) askForSwitchover(ctx context.Context) (epoch uint64, err error) {
	r := api.Request{Verb: api.VerbSwitchover, Stream: streamName, Site: origin, By: "operator", DeadlineMS: switchoverDeadline.Milliseconds()}
	st.tell.now("operator", "command", fmt.Sprintf("understudy switchover %s --to %s", streamName, origin))
	err = st.until(ctx, "a switchover is granted", func() error {
		ctx, cancel := context.WithTimeout(ctx, api.Timeout)
		defer cancel()
		resp, err := st.w.dogs()[0].Client().Do(ctx, r)
		if err == nil && resp.Outcome != api.OutcomeDone {
			err = fmt.Errorf("%s: %s", resp.Outcome, resp.Reason.Text)
		}
		epoch = resp.Epoch
		return err
	})
	return epoch, err
}

// longestGap is the longest time between two acks, of whichever publisher outside, and when it ended.
func longestGap(list []attempt) (gap time.Duration, end time.Time) {
	var last time.Time
	for _, a := range list {
		if a.end != ackOK || a.who >= publisherCount || a.at.Before(last) {
			continue
		}
		if !last.IsZero() && a.at.Sub(last) > gap {
			gap, end = a.at.Sub(last), a.at
		}
		last = a.at
	}
	return gap, end
}
