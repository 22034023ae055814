package consumers

import (
	"context"
	"crypto/rand"
	"strconv"

	"github.com/understudy-ha/understudy/policy"
)

// way is how a consumer gets to where it has to go on.
type way struct {
	from  uint64 // the sequence
	start bool   // by a deliver policy of ours; else by its own and, where that does not lead there, a reset
}

// wayOf chooses. A consumer keeps its own deliver policy wherever possible: with another one the application cannot update
// its consumer any more, and many do at every start. The rule in all cases: never behind a message that it has yet to
// process.
func (t Target) wayOf(ctx context.Context, c policy.Consumer, own rawConfig, from uint64) (way, error) {
	s := settingsOf(c.Config)
	switch {
	case t.Level >= resetLevel && (s.DeliverPolicy == deliverAll || s.DeliverPolicy == byStartSequence):
		return way{from: from}, nil
	case s.DeliverPolicy == byStartSequence && s.OptStartSeq == from:
		return way{from: from}, nil
	case s.DeliverPolicy == deliverNew && from > t.LastSeq:
		return way{from: from}, nil // it has processed all: behind them are at most messages of ours
	case t.Retention != retentionOfLimits:
		return way{from: from, start: true}, nil // to look would remove what nobody is interested in but the look
	}
	return t.compare(ctx, c, own, from)
}

// compare looks where the consumer's own policy leads. It will do if it begins with the same message as by the position.
func (t Target) compare(ctx context.Context, c policy.Consumer, own rawConfig, from uint64) (way, error) {
	s := settingsOf(c.Config)
	byOwn, err := t.look(ctx, own)
	if err != nil {
		return way{}, err
	}
	if s.DeliverPolicy == byStartTime {
		switch {
		case from >= byOwn.from && t.Level >= resetLevel:
			return way{from: from}, nil
		case from < byOwn.from && !s.OptStartTime.After(c.Created):
			return way{from: byOwn.from}, nil // nothing before its time was ever meant for it
		}
	}
	byPosition, err := t.look(ctx, own.at(from))
	if err != nil {
		return way{}, err
	}
	// Both are the last so many of the messages that match, but for last_per_subject, which leaves some out.
	if byOwn.pending == byPosition.pending && (s.DeliverPolicy != lastPerSubject || byOwn.pending == 0) {
		return way{from: byOwn.from}, nil
	}
	return way{from: from, start: true}, nil
}

// beginning is what a consumer has before it when it is made.
type beginning struct {
	from    uint64 // the first sequence that it looks at
	pending uint64 // messages from there on that match its filters
}

// look makes a consumer under a name that nobody else has, so that no late copy of these calls can meet another.
func (t Target) look(ctx context.Context, config rawConfig) (beginning, error) {
	name := "understudy-look-" + strconv.FormatUint(t.Epoch, 10) + "-" + rand.Text()
	info, err := t.Conn.CreateConsumer(ctx, t.Stream, name, config.lookConfig(name).bytes(), "")
	if err != nil {
		return beginning{}, err
	}
	// What stays, since this failed, the server removes in seconds.
	_ = t.Conn.DeleteConsumer(ctx, t.Stream, name)
	return beginning{from: info.Delivered.Stream + 1, pending: info.NumPending}, nil
}
