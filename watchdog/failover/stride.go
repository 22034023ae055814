package failover

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

// pass keeps what the newest reading has shown to be done. The first phase took until now, the others no time.
func (s *stepper) pass(stride policy.Stride) {
	for _, c := range stride.Before {
		if c.Result != nil {
			c.Result.Took, s.began = time.Since(s.began), time.Now()
		}
		s.known = append(s.known, c)
	}
	if a := stride.State.Attempt; a != nil {
		s.enter(a.Phase)
	}
}

// commit logs a command, after all that is known.
func (s *stepper) commit(ctx context.Context, c policy.Command) error {
	s.known = append(s.known, c)
	return s.flush(ctx)
}

// flush logs what is known and is not in the log yet.
func (s *stepper) flush(ctx context.Context) error {
	list := s.known
	s.known = nil
	if len(list) == 0 {
		return nil
	}
	return s.h.settle(ctx, s.h.commit(ctx, s.stream, list))
}

// write makes one write of the attempt. The close of a switchover's, once replied to, goes to the log with what is known
// next: publishers wait, and whoever takes over before that reads the effect back. So does all that is known when a write is
// sent that was logged ahead.
func (s *stepper) write(ctx context.Context, st policy.StreamState, m policy.Move, timeout time.Duration) (refused, err error) {
	o := sending{move: m, state: st, phase: st.Attempt.Phase, timeout: timeout}
	switch {
	case m.Resend && m.Write.ID == s.opened: // nobody has sent it
		o.move.Resend, o.opened, s.opened = false, s.led, ""
	case m.Resend:
		if err := s.flush(ctx); err != nil {
			return nil, err
		}
	default:
		o.before, s.known = s.known, nil
	}
	if s.origin == nil {
		s.beginAhead(ctx, *st.Attempt, o.move)
		o.later = func(c policy.Command, reply *jsapi.Info) {
			s.known = append(s.known, c)
			if s.promoted = nil; m.Write.Kind == policy.WritePromote && !m.Resend {
				s.promoted = reply
			}
		}
	}
	began := time.Now()
	refused, err = s.h.send(ctx, o)
	if err == nil && refused == nil && !m.Resend {
		if s.led = began; m.Ahead != nil {
			s.opened = m.Ahead.ID
		}
	}
	return refused, err
}

// commit logs commands together. When the log does not take them all, each is proposed by itself, until one is refused:
// something came in between, and what stands before it counts.
func (h *Hands) commit(ctx context.Context, stream string, list []policy.Command) error {
	for _, c := range list {
		failpoint(stream, "before-"+pointOf(c))
	}
	err := h.o.Journal.Propose(ctx, policy.Together(list))
	if errors.Is(err, policy.ErrRefused) && len(list) > 1 {
		for _, c := range list {
			if err = h.o.Journal.Propose(ctx, c); err != nil {
				break
			}
		}
	}
	if err != nil {
		return err
	}
	for _, c := range list {
		failpoint(stream, "after-"+pointOf(c))
	}
	return nil
}

// propose commits one command; see settle.
func (h *Hands) propose(ctx context.Context, c policy.Command) error {
	return h.settle(ctx, h.o.Journal.Propose(ctx, c))
}

// settle makes of a commit's error what a step makes of it: a command that no longer fits is no error, the next reading
// sees why.
func (h *Hands) settle(ctx context.Context, err error) error {
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

// pointOf names a command for the failpoints around its commit.
func pointOf(c policy.Command) string {
	switch {
	case c.Open != nil:
		return "open-" + string(c.Open.Write.Kind)
	case c.Close != nil:
		return "close-" + string(c.Close.Write.Kind())
	case c.Result != nil && c.Result.Outcome != policy.OutcomeWaiting:
		return "result-" + string(c.Result.Phase)
	}
	return "other"
}
