package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/grouplab"
	"github.com/understudy-ha/understudy/watchdog/natslab"
)

const (
	// askTime bounds one question to one watchdog.
	askTime = time.Second
	// calm is how long the reason must stand still, and grace how long after the threshold, before the end.
	calm  = 2 * time.Second
	grace = 4 * time.Second
	// quorumNotice is how long NATS may take to notice that a meta group has lost its quorum: 10 s, looked at every 10 s.
	quorumNotice = 21 * time.Second
	// patience is how long after the threshold a demo goes on at most.
	patience = 25 * time.Second
)

// watcher asks the surviving watchdogs, as an operator would, and tells what is new.
type watcher struct {
	s    *scene
	p    *publishers
	tell *teller

	t           times
	attempts    int // of the publishers, looked at
	lastAck     time.Time
	lastFailure attempt
	stopped     bool      // publishing
	resumed     time.Time // when that was last told to go on

	last      api.Status
	lookedAt  time.Time
	lastErr   error
	stream    api.StreamStatus
	changed   time.Time // of its reason or state
	verdicts  map[string]string
	clockTold int64 // whole seconds of the outage clock
	late      bool  // the threshold has passed, and the leader has not seen enough itself
	atLeast   uint64

	seen    uint64    // Seq of the newest history entry that was told
	phaseAt time.Time // the end of the phase before
	reason  policy.Reason
	moved   bool              // the origin was replaced
	care    map[string]careOf // by member: what was told of its care
}

func newWatcher(s *scene, p *publishers) *watcher {
	return &watcher{s: s, p: p, tell: s.tell, verdicts: map[string]string{}, care: map[string]careOf{}}
}

// begin notes where everything stands, and starts the timeline's clock: the fault comes next.
func (w *watcher) begin(ctx context.Context, text string) {
	for _, d := range w.dogs() {
		if h, err := ask(ctx, d, history); err == nil && len(h) > 0 {
			w.seen = max(w.seen, h[len(h)-1].Seq)
		}
	}
	if st, err := ask(ctx, w.dogs()[0], status); err == nil {
		w.last = st
	}
	w.attempts = len(w.p.since(0))
	w.t.fault, w.changed = time.Now(), time.Now()
	for _, a := range w.p.since(0) {
		if a.end == ackOK && a.who < publisherCount && a.at.After(w.lastAck) {
			w.lastAck = a.at
		}
	}
	w.tell.fault(w.t.fault, text)
}

// dogs are the watchdogs of the surviving sites.
func (w *watcher) dogs() []*grouplab.Dog {
	var list []*grouplab.Dog
	for _, d := range w.s.group.Dogs {
		if d.Site != origin {
			list = append(list, d)
		}
	}
	return list
}

func ask[T any](ctx context.Context, d *grouplab.Dog, question func(context.Context, *api.Client) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	return question(ctx, d.Client())
}

func status(ctx context.Context, c *api.Client) (api.Status, error) { return c.Status(ctx) }

func history(ctx context.Context, c *api.Client) ([]policy.Entry, error) {
	return c.History(ctx, streamName, 0)
}

// untilSettled watches until publishing goes on at a new primary, or until it is clear that nothing will.
func (w *watcher) untilSettled(ctx context.Context) error {
	from := time.Now() // the fault is done
	end := from.Add(w.s.o.After + patience)
	for {
		w.look(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if w.failedOver() || w.settled(from) {
			return nil
		}
		if time.Now().After(end) {
			return w.stuck()
		}
		wait(ctx, pollEvery)
	}
}

// stuck is an error only when there is no status to judge by.
func (w *watcher) stuck() error {
	if w.stream.Name == "" {
		return fmt.Errorf("no watchdog answered: %w", w.lastErr)
	}
	return nil
}

// failedOver reports that the failover is complete and every publisher goes on at the new primary.
func (w *watcher) failedOver() bool {
	return w.stream.Epoch > 0 && w.stream.Attempt == nil && w.stream.Primary.Site != origin && w.stream.Reason.Code == policy.Healthy &&
		w.p.flowingTo(w.stream.Primary.Stream) == nil
}

// settled reports that the threshold has long passed and the reason for not acting stands. A failover that has begun, and
// waits at its fence, has such a reason, too.
func (w *watcher) settled(from time.Time) bool {
	switch w.stream.Reason.Code {
	case "", policy.InProgress, policy.ThresholdPending, policy.Suspect, policy.NoQuorum:
		return false
	}
	return w.stream.Primary.Site == origin && time.Since(from) > w.window() && time.Since(w.changed) > calm
}

// window is how long after the fault a failover would have come. After a flap, which outlasts it, only a while; and where
// the loss of the site is that of the meta quorum, until NATS itself has noticed.
func (w *watcher) window() time.Duration {
	switch w.s.o.Fault {
	case Flap:
		return grace
	case Kill, Shutdown, Pause, Partition:
		if w.s.o.Topology == natslab.TwoCluster && w.stream.Reason.Code != policy.MetaQuorumLost {
			return max(w.s.o.After+grace, quorumNotice)
		}
	}
	return w.s.o.After + grace
}

// look asks once and tells what is new.
func (w *watcher) look(ctx context.Context) {
	w.lookAtPublishers()
	defer w.tell.flush(time.Now().Add(-tellDelay))
	st, err := w.bestStatus(ctx)
	if err != nil {
		w.lastErr = err
		return
	}
	w.lookAtGroup(st)
	if e, ok := st.Stream(streamName); ok {
		w.lookAtStream(e)
	}
	for _, d := range w.dogs() {
		if h, err := ask(ctx, d, history); err == nil {
			w.lookAtHistory(h)
		}
	}
}

// bestStatus is that of the newest term with a quorum, else any.
func (w *watcher) bestStatus(ctx context.Context) (best api.Status, err error) {
	var errs []error
	for _, d := range w.dogs() {
		st, err := ask(ctx, d, status)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if best.Node == "" || st.Quorum && (!best.Quorum || st.Term > best.Term) {
			best = st
		}
	}
	if best.Node == "" {
		return best, errors.Join(errs...)
	}
	return best, nil
}
