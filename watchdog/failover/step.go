package failover

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

const (
	// spinPause is the time between two readings while a phase only waits for a server to catch up.
	spinPause = 5 * time.Millisecond
	// resendPause is the time in which the park of a dead origin may show its effect before it is sent again.
	resendPause = 250 * time.Millisecond
	// refusalPause is the time after a refused write, before it is tried again in another form.
	refusalPause = 100 * time.Millisecond
	// maxRefusals ends a step whose writes the server keeps refusing; the next tick tries again.
	maxRefusals = 3
)

// Step carries a running attempt on until it ends, has to wait for something that only time brings, or ctx ends. It
// may be called again at any time, by any leader.
func (h *Hands) Step(ctx context.Context, stream string) error {
	st, ok := h.o.Journal.State().Streams[stream]
	if !ok || st.Attempt == nil || !h.patience.mayTry(stream) {
		return nil
	}
	var origin *originWatch
	if st.Attempt.Kind == policy.KindFailover {
		watch, stop := h.watchOrigin(ctx, *st.Attempt)
		defer stop()
		origin = watch
	}
	s := stepper{h: h, stream: stream, epoch: st.Attempt.Epoch, began: time.Now(), answered: time.Now(), origin: origin}
	for ctx.Err() == nil {
		more, err := s.next(ctx)
		if err != nil || !more {
			return err
		}
	}
	return ctx.Err()
}

// stepper is one Step under way.
type stepper struct {
	h        *Hands
	stream   string
	epoch    uint64
	phase    policy.Phase
	began    time.Time // of the phase, as far as this step saw it
	sent     time.Time // the newest write to an origin that does not answer
	refusals int
	answered time.Time    // when the origin answered last
	origin   *originWatch // nil in a switchover, whose primary is read afresh each time
	still    stillness

	seeded       *policy.SeedRecord // what came of the seeding of this seed phase
	seedFailures int
}

// next reads, makes one move, and reports whether there may be another.
func (s *stepper) next(ctx context.Context) (more bool, err error) {
	st, ok := s.h.o.Journal.State().Streams[s.stream]
	if !ok || st.Attempt == nil || st.Attempt.Epoch != s.epoch || s.h.o.Decide(s.stream).Kind != policy.ActStep {
		return false, nil
	}
	if st.Attempt.Phase != s.phase {
		s.phase, s.began, s.still = st.Attempt.Phase, time.Now(), stillness{}
		s.seeded, s.seedFailures = nil, 0
	}
	views := s.h.read(ctx, st, s.origin)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	views.Still = s.still.of(views.Members[st.Attempt.Target.String()])
	if answers(views.Members[st.Attempt.From.String()]) {
		s.answered = time.Now()
	}
	views.Running, views.Silent = time.Since(st.Attempt.BeganAt), time.Since(s.answered)
	views.Seed = s.seeded
	move := policy.Ensure(st, s.h.o.Node, views)
	switch move.Kind {
	case policy.MoveClose:
		return true, s.h.propose(ctx, policy.Command{Close: &move.Close})
	case policy.MoveResult:
		return s.result(ctx, st, move.Result)
	case policy.MoveSend:
		return s.send(ctx, st, move)
	case policy.MoveSeed:
		return true, s.seed(ctx, st, move.MaxIDs)
	}
	return false, nil
}

// result logs what a phase came to. A wait that a server's catching up ends is waited for here; others are left to
// the next tick.
func (s *stepper) result(ctx context.Context, st policy.StreamState, r policy.ResultCommand) (bool, error) {
	r.Took = time.Since(s.began)
	if r.Outcome == policy.OutcomeWaiting {
		if r.Reason != st.Attempt.Waiting {
			if err := s.h.propose(ctx, policy.Command{Result: &r}); err != nil {
				return false, err
			}
		}
		if r.Reason.Code != policy.InProgress {
			return false, nil
		}
		wait(ctx, spinPause)
		return true, nil
	}
	s.h.patience.worked(s.stream)
	failpoint(s.stream, "before-result-"+string(r.Phase))
	if err := s.h.propose(ctx, policy.Command{Result: &r}); err != nil {
		return false, err
	}
	failpoint(s.stream, "after-result-"+string(r.Phase))
	return true, nil
}

func (s *stepper) send(ctx context.Context, st policy.StreamState, m policy.Move) (bool, error) {
	timeout := s.h.o.Timeout
	if st.Attempt.Shared && m.Write.Kind == policy.WritePark && s.origin != nil {
		if m.Resend && time.Since(s.sent) < resendPause {
			wait(ctx, spinPause)
			return true, nil
		}
		if timeout = quickTimeout; m.Resend {
			timeout = offlineTimeout // it had no effect: the reply may say why
		}
	}
	s.sent = time.Now()
	refused, err := s.h.send(ctx, st, st.Attempt.Phase, m, timeout)
	if err != nil || refused == nil {
		return true, err
	}
	if errors.Is(refused, jsapi.ErrOffline) && s.origin != nil {
		s.origin.offline()
	}
	if s.refusals++; s.refusals < maxRefusals {
		wait(ctx, refusalPause)
		return true, nil
	}
	s.h.patience.failed(s.stream)
	reason := refusedReason(m.Write, refused)
	r := policy.ResultCommand{Stream: s.stream, Epoch: s.epoch, Phase: st.Attempt.Phase, Outcome: policy.OutcomeWaiting, Reason: reason}
	if reason == st.Attempt.Waiting {
		return false, nil
	}
	return false, s.h.propose(ctx, policy.Command{Result: &r})
}

// propose commits a command; one that no longer fits is no error: the next reading sees why.
func (h *Hands) propose(ctx context.Context, c policy.Command) error {
	err := h.o.Journal.Propose(ctx, c)
	if errors.Is(err, policy.ErrRefused) {
		h.o.Log.Debug("command refused", "error", err)
		wait(ctx, spinPause)
		return nil
	}
	if err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}
