package failover

import (
	"context"

	"github.com/understudy-ha/understudy/policy"
)

// Repair brings one member that is not what the log wants back to it: a returned origin is parked, a primary that a
// late write took back is bound again. It returns when the member is as wanted, or does not answer.
func (h *Hands) Repair(ctx context.Context, stream string, id policy.MemberID) error {
	for refusals := 0; ctx.Err() == nil && refusals < maxRefusals; {
		st, ok := h.o.Journal.State().Streams[stream]
		if !ok {
			return nil
		}
		m := policy.Repair(st, h.o.Node, id, h.look(ctx, id.Site, id.Stream, h.o.Timeout))
		switch m.Kind {
		case policy.MoveClose:
			if err := h.propose(ctx, policy.Command{Close: &m.Close}); err != nil {
				return err
			}
			continue
		case policy.MoveSend:
		default:
			return nil
		}
		refused, err := h.send(ctx, st, "", m, h.o.Timeout)
		if err != nil {
			return err
		}
		if refused != nil {
			h.o.Log.Warn("repair did not go through", "stream", stream, "member", id.String(), "error", refused)
			refusals++
			wait(ctx, refusalPause)
		}
	}
	return ctx.Err()
}
