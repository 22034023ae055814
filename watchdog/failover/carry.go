package failover

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/consumers"
	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

const (
	// freezeTimeout limits the pausing and reading of a living primary's consumers, freezePatience the time in which what
	// their applications are at work on may still be acknowledged: the publishers of a switchover wait for both.
	freezeTimeout  = 3 * time.Second
	freezePatience = 20 * time.Millisecond
	// carryTime is how long consumers that cannot be created now are tried, before the subjects are bound without them.
	carryTime = 10 * time.Second
	// carryTimeout limits one go at all of them.
	carryTimeout = 5 * time.Second
	// unknownReset is how long an unanswered reset may take to show its effect.
	unknownReset = time.Second
	// maxCarry is how many bytes of consumers one command carries.
	maxCarry = 256 << 10
)

// freeze puts the consumers that are to be carried into the log.
func (s *stepper) freeze(ctx context.Context, st policy.StreamState) error {
	a := st.Attempt
	snap, err := s.snapshot(ctx, st)
	if err != nil {
		return err
	}
	failpoint(s.stream, "after-freeze")
	for all := snap.Consumers; ; {
		n, size := 0, 0
		for n < len(all) && (n == 0 || size < maxCarry) {
			size += sizeOf(all[n])
			n++
		}
		c := policy.CarryCommand{Stream: s.stream, Epoch: a.Epoch, Freeze: true, Add: all[:n], More: n < len(all), At: snap.At.UTC()}
		if err := s.h.propose(ctx, policy.Command{Carry: &c}); err != nil {
			return err
		}
		if all = all[n:]; len(all) == 0 {
			return nil
		}
	}
}

func sizeOf(c policy.Consumer) int {
	b, err := json.Marshal(c)
	if err != nil {
		return 0 // plain types: cannot happen
	}
	return len(b)
}

// snapshot is the newest that any watchdog holds of the old primary, or of one that lives, where its consumers stand.
func (s *stepper) snapshot(ctx context.Context, st policy.StreamState) (policy.ConsumerSnapshot, error) {
	a := st.Attempt
	if a.Kind != policy.KindSwitchover {
		return s.h.newestConsumers(ctx, st, a.From), nil
	}
	if s.h.hasNone(ctx, a.From) { // the most frequent case, and publishers wait
		return policy.ConsumerSnapshot{}, nil
	}
	newest := s.h.newestConsumers(ctx, st, a.From)
	conn, err := s.h.writer(ctx, a.From.Site)
	if err == nil {
		err = s.h.verify(ctx)
	}
	if err == nil {
		asked, cancel := context.WithTimeout(ctx, freezeTimeout)
		defer cancel()
		var snap policy.ConsumerSnapshot
		if snap, err = consumers.Freeze(asked, conn, a.From, a.Epoch, newest.Consumers, freezePatience); err == nil {
			return snap, nil
		}
	}
	if ctx.Err() != nil {
		return newest, ctx.Err()
	}
	s.h.o.Log.Warn("consumers not read from the old primary: the newest snapshot serves", "stream", s.stream, "member", a.From.String(), "error", err)
	return newest, nil
}

// hasNone reports that a stream answers, and has no consumers at all.
func (h *Hands) hasNone(ctx context.Context, id policy.MemberID) bool {
	ctx, cancel := context.WithTimeout(ctx, h.o.Timeout)
	defer cancel()
	conn, err := h.reader(ctx, id.Site)
	if err != nil {
		return false
	}
	info, err := conn.Info(ctx, id.Stream)
	return err == nil && info.State.Consumers == 0
}

// newestConsumers asks the watchdogs; none is as good as an empty snapshot.
func (h *Hands) newestConsumers(ctx context.Context, st policy.StreamState, id policy.MemberID) policy.ConsumerSnapshot {
	if h.o.Consumers == nil {
		return policy.ConsumerSnapshot{}
	}
	snap, ok := h.o.Consumers(ctx, st.Name, id)
	if created := st.Members[id.String()].Created; !ok || !created.IsZero() && !snap.Created.Equal(created) {
		return policy.ConsumerSnapshot{}
	}
	return snap
}

// carry creates, pauses and resets the consumers at the target, and logs what becomes of each.
func (s *stepper) carry(ctx context.Context, st policy.StreamState) error {
	a := st.Attempt
	asked, cancel := context.WithTimeout(ctx, carryTimeout)
	defer cancel()
	conn, err := s.h.writer(asked, a.Target.Site)
	if err == nil {
		err = s.h.verify(asked)
	}
	var target consumers.Target
	if err == nil {
		target, err = consumers.At(asked, conn, a.Target.Stream, a.Epoch, a.LastSeq)
	}
	if err != nil {
		return s.carryLater(ctx, st, err)
	}
	c := carry{stepper: s, target: target, epoch: a.Epoch}
	if err := c.run(asked, a.Carried); err != nil {
		return err
	}
	return s.carryLater(ctx, st, c.err)
}

// carryLater pauses before the next go, or gives up what cannot be done: publishers are waiting.
func (s *stepper) carryLater(ctx context.Context, st policy.StreamState, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err == nil:
		return nil
	case time.Since(s.began) < carryTime:
		wait(ctx, spinPause)
		return nil
	}
	s.h.o.Log.Error("consumers not carried over", "stream", s.stream, "error", err)
	var lost []policy.ConsumerOutcome
	for _, c := range s.h.o.Journal.State().Streams[s.stream].Attempt.Carried {
		if c.Outcome == nil {
			lost = append(lost, policy.ConsumerOutcome{Name: c.Name, How: policy.ConsumerFailed, Text: err.Error()})
		}
	}
	return s.h.propose(ctx, policy.Command{Carry: &policy.CarryCommand{Stream: s.stream, Epoch: st.Epoch, Settle: lost}})
}

// carry is one go at the consumers of an attempt.
type carry struct {
	*stepper
	target consumers.Target
	epoch  uint64
	err    error // what kept some of them
}

// run prepares all that are not settled; what has to be reset is logged open before, and is sent once.
func (c *carry) run(ctx context.Context, all []policy.CarriedConsumer) error {
	var todo []policy.Consumer
	opened := map[string]bool{} // by a leader before: what was sent is not known
	for _, x := range all {
		if x.Outcome == nil {
			todo = append(todo, x.Consumer)
			opened[x.Name] = x.Reset != ""
		}
	}
	failpoint(c.stream, "before-prepare")
	var settled []policy.ConsumerOutcome
	var fresh, unknown []resetting
	prepared := c.target.Prepare(ctx, todo)
	failpoint(c.stream, "after-prepare")
	for i, p := range prepared {
		switch {
		case p.Err != nil:
			c.err = errors.Join(c.err, p.Err)
		case !p.Reset:
			settled = append(settled, p.ConsumerOutcome)
		case opened[p.Name]:
			unknown = append(unknown, resetting{todo[i], p})
		default:
			fresh = append(fresh, resetting{todo[i], p})
		}
	}
	if err := c.settle(ctx, settled); err != nil {
		return err
	}
	if err := c.reset(ctx, fresh); err != nil {
		return err
	}
	return c.readBack(ctx, unknown)
}

// resetting is a consumer that stands elsewhere than it should.
type resetting struct {
	policy.Consumer
	consumers.Prepared
}

func (c *carry) settle(ctx context.Context, list []policy.ConsumerOutcome) error {
	if len(list) == 0 {
		return nil
	}
	return c.h.propose(ctx, policy.Command{Carry: &policy.CarryCommand{Stream: c.stream, Epoch: c.epoch, Settle: list}})
}

// reset sends the resets, once each; one that is refused is replaced by a consumer that begins at its position.
func (c *carry) reset(ctx context.Context, list []resetting) error {
	if len(list) == 0 {
		return nil
	}
	open := policy.CarryCommand{Stream: c.stream, Epoch: c.epoch}
	prepared := make([]consumers.Prepared, len(list))
	for i, r := range list {
		open.Open = append(open.Open, r.Prepared.Name)
		prepared[i] = r.Prepared
	}
	failpoint(c.stream, "before-open-reset")
	if err := c.h.o.Journal.Propose(ctx, policy.Command{Carry: &open}); err != nil {
		return fmt.Errorf("log the reset of %d consumers: %w", len(list), err)
	}
	failpoint(c.stream, "after-open-reset")
	results, err := c.target.Reset(ctx, prepared)
	failpoint(c.stream, "after-send-reset")
	if err != nil {
		c.h.o.Log.Debug("resets", "stream", c.stream, "error", err)
	}
	var done []policy.ConsumerOutcome
	var unknown []resetting
	for i, r := range list {
		switch results[i] {
		case consumers.ResetDone:
			done = append(done, r.ConsumerOutcome)
		case consumers.ResetRefused:
			p := c.target.Replace(ctx, r.Consumer, r.Prepared) // logged open with the reset
			if p.Err != nil {
				unknown = append(unknown, r)
				continue
			}
			done = append(done, p.ConsumerOutcome)
		default:
			unknown = append(unknown, r)
		}
	}
	if err := c.settle(ctx, done); err != nil {
		return err
	}
	failpoint(c.stream, "after-close-reset")
	return c.readBack(ctx, unknown)
}

// readBack waits for the effect of resets whose outcome is not known. They are not sent again: what shows none is replaced.
func (c *carry) readBack(ctx context.Context, list []resetting) error {
	for _, r := range list {
		end, seen := time.Now().Add(unknownReset), false
		for !seen && time.Now().Before(end) && ctx.Err() == nil {
			var err error
			if seen, err = c.target.Seen(ctx, r.Prepared); errors.Is(err, jsapi.ErrConsumerNotFound) {
				break
			}
			wait(ctx, spinPause)
		}
		outcome := r.ConsumerOutcome
		if !seen {
			p := c.target.Replace(ctx, r.Consumer, r.Prepared)
			if p.Err != nil {
				c.err = errors.Join(c.err, p.Err)
				continue
			}
			outcome = p.ConsumerOutcome
		}
		if err := c.settle(ctx, []policy.ConsumerOutcome{outcome}); err != nil {
			return err
		}
	}
	return nil
}

// release ends the pauses of the carried consumers: the subjects are bound.
func (s *stepper) release(ctx context.Context, st policy.StreamState) error {
	a := st.Attempt
	all := make([]policy.Consumer, len(a.Carried))
	for i, c := range a.Carried {
		all[i] = c.Consumer
	}
	asked, cancel := context.WithTimeout(ctx, carryTimeout)
	defer cancel()
	conn, err := s.h.writer(asked, a.Target.Site)
	if err == nil {
		err = s.h.verify(asked)
	}
	if err == nil {
		failpoint(s.stream, "before-release")
		err = consumers.Release(asked, conn, a.Target.Stream, all)
		failpoint(s.stream, "after-release")
	}
	if err != nil {
		return err
	}
	s.released = true
	return nil
}
