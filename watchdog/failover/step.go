package failover

import (
	"context"
	"errors"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

const (
	// spinPause is the time between two readings while a phase only waits for a server to catch up.
	spinPause = 5 * time.Millisecond
	// shortPause is the same in a switchover.
	shortPause = time.Millisecond
	// tellPause is how long a phase waits for a server before the log is told.
	tellPause = 250 * time.Millisecond
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
	if st.Attempt.Kind != policy.KindSwitchover {
		watch, stop := h.watchOrigin(ctx, *st.Attempt)
		defer stop()
		origin = watch
	}
	s := stepper{h: h, stream: stream, epoch: st.Attempt.Epoch, answered: time.Now(), origin: origin}
	defer func() {
		s.endAhead()
		_ = s.flush(ctx) // at a term's end it fails, and the next leader reads back what was not logged
	}()
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
	began    time.Time        // of the phase, as far as this step saw it
	told     time.Time        // when the phase began, or a wait of it was logged last
	known    []policy.Command // of a switchover: what goes to the log with the next commit
	sent     time.Time        // the newest write to an origin that does not answer
	refusals int
	answered time.Time    // when the origin answered last
	origin   *originWatch // nil in a switchover, whose primary is read afresh each time
	still    stillness

	led          time.Time          // when the newest commit began that has gone through
	opened       policy.WriteID     // a write that this step has logged ahead, and not sent
	ahead        ahead              // of a switchover
	promoted     *jsapi.Info        // the reply to this step's own promote, as long as it has published nothing there
	seeded       *policy.SeedRecord // what came of the seeding of this seed phase
	seedFailures int
	released     bool // the carried consumers, in this verify phase
}

// next reads, makes one move, and reports whether there may be another.
func (s *stepper) next(ctx context.Context) (more bool, err error) {
	state := policy.Foresee(s.h.o.Journal.State(), s.known)
	st := state.Streams[s.stream]
	if st.Attempt == nil || st.Attempt.Epoch != s.epoch || s.h.o.Decide(s.stream).Kind != policy.ActStep {
		return false, nil
	}
	s.enter(st.Attempt.Phase)
	views := s.views(ctx, st)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	stride := policy.MakeStride(state, s.stream, s.h.o.Node, views)
	s.pass(stride)
	switch move := stride.Move; move.Kind {
	case policy.MoveClose:
		return true, s.commit(ctx, policy.Command{Close: &move.Close})
	case policy.MoveCarried:
		return true, s.commit(ctx, policy.Command{Carry: &move.Carry})
	case policy.MoveResult:
		return s.result(ctx, stride.State, move.Result)
	case policy.MoveSend:
		return s.send(ctx, stride.State, move)
	case policy.MoveSeed:
		return true, s.seed(ctx, stride.State, move.MaxIDs)
	case policy.MoveFreeze:
		return s.besides(ctx, func() error { return s.freeze(ctx, stride.State) })
	case policy.MoveCarry:
		return s.besides(ctx, func() error { return s.carry(ctx, stride.State) })
	case policy.MoveRelease:
		return s.besides(ctx, func() error { return s.release(ctx, stride.State) })
	}
	return false, nil
}

// enter notes that a phase begins, if it is another than before.
func (s *stepper) enter(p policy.Phase) {
	if p == s.phase {
		return
	}
	s.phase, s.began, s.told, s.still = p, time.Now(), time.Now(), stillness{}
	s.seeded, s.seedFailures, s.released = nil, 0, false
}

// besides does what is neither a write to a stream nor a result, once the log has all that is known.
func (s *stepper) besides(ctx context.Context, do func() error) (more bool, err error) {
	if err := s.flush(ctx); err != nil {
		return false, err
	}
	return true, do()
}

// views is what there is to be read for the next move, and what this step knows besides.
func (s *stepper) views(ctx context.Context, st policy.StreamState) policy.Views {
	v, read := s.readMeanwhile()
	if !read {
		v, read = s.readReply(st.Attempt)
	}
	if !read {
		v = s.h.read(ctx, st, s.origin)
	}
	v.Still = s.still.of(v.Members[st.Attempt.Target.String()])
	if answers(v.Members[st.Attempt.From.String()]) {
		s.answered = time.Now()
	}
	v.Running, v.Silent = time.Since(st.Attempt.BeganAt), time.Since(s.answered)
	v.Seed, v.Released = s.seeded, s.released
	if s.origin == nil && st.Attempt.PromoteOpened {
		v.NoneAt = s.readBefore().noneAt
	}
	return v
}

// result logs what a phase came to. A wait that a server's catching up ends is waited for here; others are left to
// the next tick.
func (s *stepper) result(ctx context.Context, st policy.StreamState, r policy.ResultCommand) (bool, error) {
	r.Took = time.Since(s.began)
	if r.Outcome == policy.OutcomeWaiting {
		return s.waits(ctx, st, r)
	}
	s.h.patience.worked(s.stream)
	return true, s.commit(ctx, policy.Command{Result: &r})
}

// waits logs why a phase does not go on. What servers are only catching up with is not worth a commit at once.
func (s *stepper) waits(ctx context.Context, st policy.StreamState, r policy.ResultCommand) (bool, error) {
	spins := r.Reason.Code == policy.InProgress
	if r.Reason != st.Attempt.Waiting && (!spins || time.Since(s.told) >= tellPause) {
		s.told = time.Now()
		if err := s.commit(ctx, policy.Command{Result: &r}); err != nil {
			return false, err
		}
	}
	if !spins {
		return false, nil
	}
	pause := spinPause
	if s.origin == nil { // publishers wait
		pause = shortPause
	}
	wait(ctx, pause)
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
	refused, err := s.write(ctx, st, m, timeout)
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
	s.h.patience.failed(s.stream, longestPause)
	reason := refusedReason(m.Write, refused)
	r := policy.ResultCommand{Stream: s.stream, Epoch: s.epoch, Phase: st.Attempt.Phase, Outcome: policy.OutcomeWaiting, Reason: reason}
	if reason == st.Attempt.Waiting {
		return false, nil
	}
	return false, s.commit(ctx, policy.Command{Result: &r})
}
