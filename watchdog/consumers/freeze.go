package consumers

import (
	"context"
	"fmt"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

// Freeze pauses the durables of a primary that is to be replaced on purpose, so that it delivers nothing any more, and
// then reads where exactly they stand. What their applications hold unacknowledged gets until patience to be
// acknowledged: whatever is not by then comes again at the new primary. epoch marks the pauses; Release ends them.
//
// known is an earlier snapshot, for what a pause of ours hides: an application's own pause, when Freeze is called again.
func Freeze(ctx context.Context, conn *jsapi.Conn, id policy.MemberID, epoch uint64, known []policy.Consumer, patience time.Duration) (policy.ConsumerSnapshot, error) {
	fail := func(err error) (policy.ConsumerSnapshot, error) {
		return policy.ConsumerSnapshot{}, fmt.Errorf("freeze the consumers of %s: %w", id, err)
	}
	before, err := Take(ctx, conn, id)
	if err != nil {
		return fail(err)
	}
	before.Consumers = remember(before.Consumers, known)
	err = settle(ctx, conn, id.Stream, isLive, func(c *jsapi.ConsumerInfo) func(context.Context) error {
		return func(ctx context.Context) error { return conn.PauseConsumer(ctx, id.Stream, c.Name, mark(epoch)) }
	})
	if err != nil {
		return fail(err)
	}
	for end := time.Now().Add(patience); ; {
		after, err := Take(ctx, conn, id)
		if err != nil {
			return fail(err)
		}
		if len(after.Missing) == 0 && (time.Now().After(end) || !anyPending(after.Consumers)) {
			after.Consumers = remember(after.Consumers, before.Consumers)
			return after, nil
		}
		if !sleep(ctx, pollEvery) {
			return fail(fmt.Errorf("%w: %d did not answer", ctx.Err(), len(after.Missing)))
		}
	}
}

// isLive tells a durable that we do not hold.
func isLive(i *jsapi.ConsumerInfo) bool {
	c, durable, err := consumerOf(i)
	return err == nil && durable && !c.Frozen
}

func anyPending(all []policy.Consumer) bool {
	for _, c := range all {
		if c.AckPending > 0 {
			return true
		}
	}
	return false
}

// remember puts what an earlier look knew and a later one cannot: where a consumer began, and its application's pause
// while ours is in its place.
func remember(all, earlier []policy.Consumer) []policy.Consumer {
	was := map[string]policy.Consumer{}
	for _, c := range earlier {
		was[c.Name] = c
	}
	for i, c := range all {
		w, ok := was[c.Name]
		if !ok || !w.Created.Equal(c.Created) {
			continue
		}
		if c.DeliveredCount > 0 && c.Start == 0 && c.AckFloor == 0 {
			all[i].Start = w.Start
		}
		if c.Frozen {
			all[i].PausedUntil = w.PausedUntil
		}
	}
	return all
}
