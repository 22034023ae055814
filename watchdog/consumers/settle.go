package consumers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

// pollEvery is the pause between two readings while a change is waited for.
const pollEvery = 20 * time.Millisecond

// resendEvery is how long the same pause, or its end, may go unseen before it is sent again. It is harmless twice.
const resendEvery = time.Second

// settle changes all consumers of a stream that are not yet as they should be, until the list shows none. due and change
// are called one after the other; what change returns, when not nil, is sent side by side with that of other consumers.
func settle(ctx context.Context, conn *jsapi.Conn, stream string, due func(*jsapi.ConsumerInfo) bool, change func(*jsapi.ConsumerInfo) func(context.Context) error) error {
	sent := map[string]sending{}
	var last error
	for {
		left, err := pick(ctx, conn, stream, due)
		switch {
		case err == nil && len(left) == 0:
			return nil
		case err == nil:
			last = errors.Join(fmt.Errorf("%d are left, %s the first", len(left), left[0].Name), send(ctx, left, sent, change))
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
	all, missing, err := conn.Consumers(ctx, stream)
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

// sending is a change that was sent to a consumer.
type sending struct {
	found time.Time // the pause that it was to change
	at    time.Time
}

// send changes those that were not changed a moment ago and still look as before that.
func send(ctx context.Context, left []*jsapi.ConsumerInfo, sent map[string]sending, change func(*jsapi.ConsumerInfo) func(context.Context) error) error {
	var now []func(context.Context) error
	for _, c := range left {
		s, found := sent[c.Name], settingsOf(c.Config).PauseUntil
		if s.found.Equal(found) && time.Since(s.at) < resendEvery {
			continue
		}
		if f := change(c); f != nil {
			now = append(now, f)
			sent[c.Name] = sending{found: found, at: time.Now()}
		}
	}
	errs := make([]error, len(now))
	each(len(now), func(i int) { errs[i] = now[i](ctx) })
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
