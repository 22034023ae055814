package failover

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/policy"
)

const (
	// guardPause is the time between two questions to a member that is to be fenced when it is back. It may take messages from that
	// moment on, so it is short, whatever the interval of the probes.
	guardPause = 250 * time.Millisecond
	// guarding is how many of them are asked at a time; guardTurn is for how long, before the place is free for another one.
	guarding  = 64
	guardTurn = 10 * time.Second
)

// Guard asks a member that is not back yet (policy.Awaited) at its own site, until it answers, is awaited no more, or had its turn.
// It is fenced the moment it answers, and back is true. A question does not wait for the answer to the one before: that may have been lost with a
// stream that was just starting.
func (h *Hands) Guard(ctx context.Context, sr policy.StreamRules, id policy.MemberID) (back bool, err error) {
	select {
	case h.guards <- struct{}{}:
		defer func() { <-h.guards }()
	default: // the rounds see it, as all others for which there is no place
		return false, nil
	}
	if back, err = h.await(ctx, sr, id); !back {
		return false, err
	}
	return true, h.Repair(ctx, sr.Name, id)
}

// await reports whether the member is back.
func (h *Hands) await(ctx context.Context, sr policy.StreamRules, id policy.MemberID) (back bool, err error) {
	turn, end := context.WithTimeout(ctx, guardTurn)
	var asking sync.WaitGroup
	defer asking.Wait()
	defer end()
	answered := make(chan struct{}, 1)
	again := time.NewTicker(guardPause)
	defer again.Stop()
	for {
		if s := h.o.Journal.State(); !slices.Contains(policy.Awaited(s, sr), id) {
			return s.Streams[sr.Name].Round.Members[id.String()].Reachable(), nil // a round was first
		}
		asking.Go(func() {
			if answers(h.look(turn, id.Site, id.Stream, h.o.Timeout)) {
				select {
				case answered <- struct{}{}:
				default:
				}
			}
		})
		select {
		case <-answered:
			return true, nil
		case <-again.C:
		case <-turn.Done():
			return false, ctx.Err()
		}
	}
}
