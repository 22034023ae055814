package salvage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/sethvargo/go-retry"
)

const (
	readMessages = 1000    // that a consumer may send ahead
	readBytes    = 8 << 20 // the same
	readIdle     = time.Minute
	// A consumer that is silent for two heartbeats is given up.
	readHeartbeat = 2 * time.Second
	readExpiry    = 10 * time.Second
)

// read calls each with every message of a range, in order, like scan, but through a consumer where the stream allows
// one: several times as fast. Messages come without their header block (value works), so what must be kept as it
// is stored is scanned.
func (s Side) read(ctx context.Context, from, to uint64, each func(*message) error) error {
	info, err := s.info(ctx)
	if err != nil {
		return fmt.Errorf("read %s: %w", s, err)
	}
	f := &follower{side: s, at: from, to: min(to, info.State.LastSeq), each: each}
	for tries := 0; f.at <= f.to; tries++ {
		before := f.at
		err := f.run(ctx)
		var refused *jetstream.APIError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &refused), consumerLost(err) && f.at == before && tries >= followTries:
			// It is full of consumers, of another retention, its consumers do not answer: a scan needs none.
			return s.scan(ctx, f.at, f.to, each)
		case !consumerLost(err):
			return fmt.Errorf("read %s at sequence %d: %w", s, f.at, s.why(err))
		}
	}
	return nil
}

// followTries is how many consumers may be lost before a reader does without.
const followTries = 3

// consumerLost says that a consumer is gone or silent, as when its server is: another may serve.
func consumerLost(err error) bool {
	for _, lost := range []error{jetstream.ErrNoHeartbeat, jetstream.ErrConsumerDeleted, jetstream.ErrConsumerNotFound, jetstream.ErrConsumerLeadershipChanged, nats.ErrNoResponders, errSkipped} {
		if errors.Is(err, lost) {
			return true
		}
	}
	return false
}

// follower reads a stream through one consumer after the other. at is the sequence that comes next.
type follower struct {
	side   Side
	at, to uint64
	each   func(*message) error
	// delivered is what the present consumer's newest message counted as, of its deliveries.
	delivered uint64
}

// errSkipped is a delivery that did not arrive: what it held is asked for again.
var errSkipped = errors.New("a message was delivered and did not arrive")

func (f *follower) run(ctx context.Context) error {
	consumer, remove, err := f.side.consumer(ctx, f.at)
	if err != nil {
		return err
	}
	defer remove()
	f.delivered = 0
	if err := f.follow(ctx, consumer); !errors.Is(err, errEnough) {
		return err
	}
	return nil
}

// consumer makes one that acknowledges nothing and leaves no trace.
func (s Side) consumer(ctx context.Context, from uint64) (jetstream.Consumer, func(), error) {
	js, err := jetstream.New(s.Conn)
	if s.Domain != "" {
		js, err = jetstream.NewWithDomain(s.Conn, s.Domain)
	}
	if err != nil {
		return nil, nil, err
	}
	ask, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	c, err := js.CreateConsumer(ask, s.Stream, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: max(from, 1), AckPolicy: jetstream.AckNonePolicy,
		MemoryStorage: true, Replicas: 1, InactiveThreshold: readIdle,
	})
	if err != nil {
		return nil, nil, err
	}
	return c, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askPatience)
		defer cancel()
		_ = js.DeleteConsumer(ctx, s.Stream, c.CachedInfo().Name) // else it goes by itself
	}, nil
}

// follow takes a consumer's messages until the end of the range, or until it has no more.
func (f *follower) follow(ctx context.Context, c jetstream.Consumer) error {
	if c.CachedInfo().NumPending == 0 {
		return nil
	}
	first, err := firstOf(ctx, c)
	if err != nil {
		return err
	}
	if done, err := f.take(first); done || err != nil {
		return err
	}
	it, err := c.Messages(jetstream.PullMaxMessagesWithBytesLimit(readMessages, readBytes),
		jetstream.PullExpiry(readExpiry), jetstream.PullHeartbeat(readHeartbeat))
	if err != nil {
		return err
	}
	defer it.Stop()
	for {
		m, err := it.Next(jetstream.NextContext(ctx))
		if err != nil {
			return err
		}
		if done, err := f.take(m); done || err != nil {
			return err
		}
	}
}

// firstOf takes a consumer's first message. A consumer that was made a moment ago on another server may not be listening
// yet as far as the server knows that is asked: it answers "no responders" then, which the client's iterators pass
// over, to wait for heartbeats that nobody sends.
func firstOf(ctx context.Context, c jetstream.Consumer) (m jetstream.Msg, err error) {
	backoff := retry.WithMaxDuration(2*readHeartbeat, retry.NewConstant(5*time.Millisecond))
	return m, retry.Do(ctx, backoff, func(context.Context) error {
		batch, err := c.Fetch(1, jetstream.FetchMaxWait(2*readHeartbeat))
		if err != nil {
			return err
		}
		if m = <-batch.Messages(); m != nil {
			return nil
		}
		if err = batch.Error(); errors.Is(err, nats.ErrNoResponders) {
			return retry.RetryableError(err)
		}
		return cmp.Or[error](err, jetstream.ErrNoHeartbeat)
	})
}

// take passes a message on. It returns true when none is wanted any more.
func (f *follower) take(delivered jetstream.Msg) (done bool, err error) {
	meta, err := delivered.Metadata()
	if err != nil {
		return false, err
	}
	if f.delivered++; meta.Sequence.Consumer != f.delivered { // on a busy machine the client drops what it has no room for
		return false, errSkipped
	}
	seq := meta.Sequence.Stream
	if seq > f.to {
		return true, nil
	}
	m := &message{seq: seq, at: meta.Timestamp.UTC(), subject: delivered.Subject(), parsed: delivered.Headers(), data: delivered.Data()}
	if err := f.each(m); err != nil {
		return false, err
	}
	f.at = seq + 1
	return f.at > f.to || meta.NumPending == 0, nil
}

func isDamage(err error) bool { return errors.Is(err, errDamaged) }

// unpack reads an archive from one of its own sequences on, which must be 1 or follow a whole message, and calls each with
// every whole message. A missing sequence is damage, since an archive has no gaps.
func unpack(ctx context.Context, archive Side, from uint64, each func(*parcel) error) error {
	u, next, enough := &unpacker{}, from, false
	err := archive.read(ctx, from, maxSeq, func(m *message) error {
		if m.seq != next {
			return fmt.Errorf("%w: message %d is missing", errDamaged, next)
		}
		next++
		p, err := u.add(m)
		if p == nil || err != nil {
			return err
		}
		err = each(p)
		enough = errors.Is(err, errEnough)
		return err
	})
	if err != nil || enough {
		return err
	}
	info, err := archive.info(ctx)
	if err != nil {
		return err
	}
	if next <= info.State.LastSeq {
		return fmt.Errorf("%w: message %d is missing, and all after it", errDamaged, next)
	}
	return u.done()
}

// readBack adds up what an archive holds.
func readBack(ctx context.Context, archive Side, since time.Time) (*summary, error) {
	s := newSummary(since)
	err := unpack(ctx, archive, 1, func(p *parcel) error {
		s.add(p.message)
		if p.onPrimary > 0 {
			s.OnPrimary++
		}
		return nil
	})
	return s, err
}
