package failover

import (
	"context"
	"errors"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

// ErrUnreached says that a member which the watchdogs see answers this leader on no path.
var ErrUnreached = errors.New("not reached by this leader")

// Repair brings one member that is not what the log wants back to it: a returned origin is parked, a primary that a
// late write took back is bound again. It returns when the member is as wanted, when it is held, or with ErrUnreached
// when it does not answer.
func (h *Hands) Repair(ctx context.Context, stream string, id policy.MemberID) error {
	key := stream + " " + id.String()
	for refusals := 0; ctx.Err() == nil && refusals < maxRefusals; {
		s := h.o.Journal.State()
		st, ok := s.Streams[stream]
		if !ok || s.Held(stream) || !h.patience.mayTry(key) {
			return nil
		}
		via, v := h.lookAround(ctx, st, id)
		if !answers(v) {
			return ErrUnreached
		}
		m := policy.Repair(st, h.o.Node, id, via, v)
		switch m.Kind {
		case policy.MoveClose:
			if err := h.propose(ctx, policy.Command{Close: &m.Close}); err != nil {
				return err
			}
			continue
		case policy.MoveSend:
		default:
			h.patience.worked(key)
			return nil
		}
		refused, err := h.send(ctx, sending{move: m, state: st, timeout: h.o.Timeout})
		if err != nil {
			return err
		}
		if refused == nil {
			continue
		}
		if refusals++; refusals == maxRefusals {
			pause := h.patience.failed(key, longestAfter(st, m.Write, refused))
			h.o.Log.Warn("repair did not go through", "stream", stream, "member", id.String(), "error", refused, "next_try_in", pause)
		}
		wait(ctx, refusalPause)
	}
	return ctx.Err()
}

// longestAfter is the longest pause after a refusal of a write.
func longestAfter(st policy.StreamState, w policy.Write, refused error) time.Duration {
	if st.Members[w.Member.String()].Retired > 0 && w.Kind == policy.WritePark && errors.Is(refused, jsapi.ErrMetaUnavailable) {
		return capturePause
	}
	return longestPause
}

// lookAround looks at a member through its own site, then through those that share its meta group, until one answers.
func (h *Hands) lookAround(ctx context.Context, st policy.StreamState, id policy.MemberID) (via string, v policy.View) {
	v = h.look(ctx, id.Site, id.Stream, h.o.Timeout)
	if answers(v) {
		return id.Site, v
	}
	for _, beside := range st.SitesBeside(id) {
		if v := h.look(ctx, beside, id.Stream, h.o.Timeout); answers(v) {
			return beside, v
		}
	}
	return id.Site, v
}
