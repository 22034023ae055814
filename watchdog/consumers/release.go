package consumers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

// pollEvery is the pause between two readings while a change is waited for.
const pollEvery = 20 * time.Millisecond

// resendEvery is how long a pause, or its end, may go unseen before it is sent again. Either is harmless twice.
const resendEvery = time.Second

// Release ends our pauses on a stream, and returns when they are seen to have ended or ctx ends. A consumer whose
// application had it paused gets that pause back, if it is one of all; any other delivers from now on. It touches nothing
// that bears no pause of ours, so it may be called at any time and by anybody. It serves the promoted stream after its bind,
// and a frozen one whose switchover was given up.
func Release(ctx context.Context, conn *jsapi.Conn, stream string, all []policy.Consumer) error {
	until := map[string]time.Time{}
	for _, c := range all {
		until[c.Name] = c.PausedUntil
	}
	err := settle(ctx, conn, stream, isHeld, func(c *jsapi.ConsumerInfo) error {
		return conn.PauseConsumer(ctx, stream, c.Name, until[c.Name])
	})
	if err != nil {
		return fmt.Errorf("release the consumers of %s: %w", stream, err)
	}
	return nil
}

func isHeld(c *jsapi.ConsumerInfo) bool { return isMark(settingsOf(c.Config).PauseUntil) }

// settle changes all consumers of a stream that are not yet as they should be, until the list shows none.
func settle(ctx context.Context, conn *jsapi.Conn, stream string, due func(*jsapi.ConsumerInfo) bool, change func(*jsapi.ConsumerInfo) error) error {
	sent := map[string]time.Time{}
	var last error
	for {
		left, err := pick(ctx, conn, stream, due)
		switch {
		case err == nil && len(left) == 0:
			return nil
		case err == nil:
			last = errors.Join(fmt.Errorf("%d are left, %s the first", len(left), left[0].Name), send(left, sent, change))
		case refused(err):
			return err
		case ctx.Err() == nil:
			last = err
		}
		if !sleep(ctx, pollEvery) {
			return errors.Join(ctx.Err(), last)
		}
	}
}

// pick lists the consumers that something is due for. One that did not answer cannot be told, so it is an error.
func pick(ctx context.Context, conn *jsapi.Conn, stream string, due func(*jsapi.ConsumerInfo) bool) ([]*jsapi.ConsumerInfo, error) {
	all, missing, err := list(ctx, conn, stream)
	if err != nil {
		return nil, err
	}
	var left []*jsapi.ConsumerInfo
	for _, c := range all {
		if due(c) {
			left = append(left, c)
		}
	}
	if len(left) == 0 && len(missing) > 0 {
		return nil, fmt.Errorf("%d did not answer, %s the first", len(missing), missing[0])
	}
	return left, nil
}

// send changes those that were not changed a moment ago.
func send(left []*jsapi.ConsumerInfo, sent map[string]time.Time, change func(*jsapi.ConsumerInfo) error) error {
	var now []*jsapi.ConsumerInfo
	for _, c := range left {
		if time.Since(sent[c.Name]) >= resendEvery {
			now = append(now, c)
			sent[c.Name] = time.Now()
		}
	}
	errs := make([]error, len(now))
	each(len(now), func(i int) { errs[i] = change(now[i]) })
	return errors.Join(errs...)
}

// sleep waits, and reports whether ctx still lasts.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
