package consumers

import (
	"context"
	"fmt"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

// Release ends our pauses on a stream, and returns when they are seen to have ended or ctx ends. A consumer whose
// application had it paused gets that pause back, if it is one of all; any other delivers from now on. It touches nothing
// that bears no pause of ours, so it may be called at any time and by anybody. It serves the promoted stream after its bind,
// and a frozen one whose switchover was given up.
func Release(ctx context.Context, conn *jsapi.Conn, stream string, all []policy.Consumer) error {
	r := releaser{conn: conn, stream: stream, own: map[string]time.Time{}, ending: map[string]ending{}}
	for _, c := range all {
		r.own[c.Name] = c.PausedUntil
	}
	if err := settle(ctx, conn, stream, r.due, r.change); err != nil {
		return fmt.Errorf("release the consumers of %s: %w", stream, err)
	}
	return nil
}

// releaser ends pauses. A pull consumer is woken by its next request. A push consumer would go on sleeping when its pause
// is taken away, until another message comes; so its pause is made to run out in a moment, which wakes it, and is taken away
// after that.
type releaser struct {
	conn   *jsapi.Conn
	stream string
	own    map[string]time.Time // the applications' own pauses, by consumer
	ending map[string]ending    // the pauses that run out, by consumer
}

// ending is a pause that is to run out.
type ending struct {
	until time.Time
	in    time.Duration // how far off that was
	armed bool          // it was seen in force: so it will run out, and was not over before the server heard of it
}

const (
	// firstEnding is how far off a pause is made to run out at first; twice as much each time that this was too short to
	// be seen in force.
	firstEnding = 250 * time.Millisecond
	// wakesWithin is how long the server may take to wake a consumer whose pause has run out.
	wakesWithin = 50 * time.Millisecond
)

// due reports whether something is left to do about a consumer, or to wait for.
func (r *releaser) due(c *jsapi.ConsumerInfo) bool {
	until := settingsOf(c.Config).PauseUntil
	e, ends := r.ending[c.Name]
	if ends && until.Equal(e.until) {
		e.armed = e.armed || c.Paused
		r.ending[c.Name] = e
		return true
	}
	return isMark(until)
}

// change takes the next step of one consumer.
func (r *releaser) change(c *jsapi.ConsumerInfo) func(context.Context) error {
	s, own := settingsOf(c.Config), r.own[c.Name]
	e := r.ending[c.Name]
	switch {
	case s.DeliverSubject == "" || own.After(c.Time):
		return r.pause(c.Name, own)
	case isMark(s.PauseUntil), !c.Paused && !e.armed: // not begun, or over before it was seen
		e.in = max(2*e.in, firstEnding)
		e.until, e.armed = c.Time.Add(e.in), false
		r.ending[c.Name] = e
		return r.pause(c.Name, e.until)
	case e.armed && c.Time.After(e.until.Add(wakesWithin)):
		return r.pause(c.Name, own)
	}
	return nil
}

func (r *releaser) pause(name string, until time.Time) func(context.Context) error {
	return func(ctx context.Context) error { return r.conn.PauseConsumer(ctx, r.stream, name, until) }
}
