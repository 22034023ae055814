package consumers

import (
	"context"
	"errors"
	"fmt"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

// ResetResult is what is known of a reset after it was sent.
type ResetResult string

// The results of a reset.
const (
	ResetDone    ResetResult = "done"
	ResetRefused ResetResult = "refused" // nothing changed: Replace it
	// ResetUnknown: it was not answered, or not by a consumer. It must not be sent again; Seen may tell.
	ResetUnknown ResetResult = "unknown"
)

// Reset sends the reset of each prepared consumer that needs one, once. The others are done. It must be logged open
// before, and is never called twice for the same consumer and epoch: a copy that comes late would take a consumer back
// which its application has moved on.
func (t Target) Reset(ctx context.Context, all []Prepared) ([]ResetResult, error) {
	results := make([]ResetResult, len(all))
	errs := make([]error, len(all))
	each(len(all), func(i int) { results[i], errs[i] = t.reset(ctx, all[i]) })
	return results, errors.Join(errs...)
}

func (t Target) reset(ctx context.Context, p Prepared) (ResetResult, error) {
	if !p.Reset {
		return ResetDone, nil
	}
	if t.Level < resetLevel || p.level != 0 && p.level < resetLevel {
		return ResetRefused, nil // by us: that server would never answer
	}
	info, err := t.Conn.ResetConsumer(ctx, t.Stream, p.Name, p.From)
	switch {
	case errors.Is(err, jsapi.ErrResetRefused), errors.Is(err, jsapi.ErrConsumerNotFound):
		return ResetRefused, nil
	case err == nil && SeenReset(info, p.From):
		return ResetDone, nil
	case err == nil:
		err = fmt.Errorf("it stands at %d, having delivered %d", info.Delivered.Stream+1, info.Delivered.Consumer)
	}
	return ResetUnknown, fmt.Errorf("reset consumer %s on %s to %d: %w", p.Name, t.Stream, p.From, err)
}

// SeenReset reports that a held consumer stands where it has to go on: it has delivered nothing, and its next message is
// the first at or after want. It does not tell a reset from a consumer that began there.
func SeenReset(info *jsapi.ConsumerInfo, want uint64) bool {
	return info.Delivered.Consumer == 0 && info.Delivered.Stream+1 == want
}

// Seen reads whether a reset whose outcome is unknown has taken effect. A no is final only if it came over the connection
// that sent the reset, some time after it: the servers keep the order of one connection, but the consumer's replicas may
// still be at work on it.
func (t Target) Seen(ctx context.Context, p Prepared) (bool, error) {
	info, err := t.Conn.ConsumerInfo(ctx, t.Stream, p.Name)
	if err != nil {
		return false, fmt.Errorf("read back the reset of %s on %s: %w", p.Name, t.Stream, err)
	}
	return SeenReset(info, p.From), nil
}

// Replace deletes a held consumer whose reset was refused or got lost, and makes it again with a start sequence. It takes
// the same logging as a reset, and is not sent twice either: a late delete would remove what the application uses. One that
// is not held by us, or has delivered anything, is left alone.
func (t Target) Replace(ctx context.Context, c policy.Consumer, p Prepared) Prepared {
	p.Reset, p.Err = false, nil
	own, requires, _, err := t.ownConfig(c.Config)
	if err != nil {
		return p.failed(err)
	}
	if err := t.remove(ctx, c.Name); err != nil {
		return p.failed(fmt.Errorf("replace consumer %s on %s: %w", c.Name, t.Stream, err))
	}
	info, err := t.ensure(ctx, c.Name, own.at(p.From), requires)
	if err != nil {
		return p.failed(fmt.Errorf("create consumer %s on %s: %w", c.Name, t.Stream, err))
	}
	p.judge(c, info)
	return p
}

// remove deletes a consumer that is still ours; none is as good.
func (t Target) remove(ctx context.Context, name string) error {
	info, err := t.Conn.ConsumerInfo(ctx, t.Stream, name)
	switch {
	case errors.Is(err, jsapi.ErrConsumerNotFound):
		return nil
	case err != nil:
		return err
	case !isMark(settingsOf(info.Config).PauseUntil) || info.Delivered.Consumer > 0:
		return nil // whoever made it: judge will say
	}
	if err := t.Conn.DeleteConsumer(ctx, t.Stream, name); err != nil && !errors.Is(err, jsapi.ErrConsumerNotFound) {
		return err
	}
	return nil
}
