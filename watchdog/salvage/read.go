package salvage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	readMessages = 1000    // that a consumer may send ahead
	readBytes    = 8 << 20 // the same
	readIdle     = time.Minute
)

// read calls each with every message of a range, in order, like scan, but through a consumer where the stream allows
// one: several times as fast. Messages come without their header block (value works), so what must be kept as it
// is stored is scanned.
func (s Side) read(ctx context.Context, from, to uint64, each func(*message) error) error {
	info, err := s.info(ctx)
	if err != nil {
		return fmt.Errorf("read %s: %w", s, err)
	}
	if to = min(to, info.State.LastSeq); from > to {
		return nil
	}
	consumer, remove, err := s.consumer(ctx, from)
	var refused *jetstream.APIError
	if errors.As(err, &refused) { // full of consumers, of another retention: whatever it is, a scan needs none
		return s.scan(ctx, from, to, each)
	}
	if err != nil {
		return fmt.Errorf("read %s: make a consumer: %w", s, s.why(err))
	}
	defer remove()
	if err := follow(ctx, consumer, to, each); err != nil && !errors.Is(err, errEnough) {
		return fmt.Errorf("read %s: %w", s, err)
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

// follow takes a consumer's messages until a sequence, or until it has no more.
func follow(ctx context.Context, c jetstream.Consumer, to uint64, each func(*message) error) error {
	if c.CachedInfo().NumPending == 0 {
		return nil
	}
	it, err := c.Messages(jetstream.PullMaxMessagesWithBytesLimit(readMessages, readBytes))
	if err != nil {
		return err
	}
	defer it.Stop()
	for {
		delivered, err := it.Next(jetstream.NextContext(ctx))
		if err != nil {
			return kindOf(err)
		}
		meta, err := delivered.Metadata()
		if err != nil {
			return err
		}
		seq := meta.Sequence.Stream
		if seq > to {
			return nil
		}
		m := &message{seq: seq, at: meta.Timestamp.UTC(), subject: delivered.Subject(), parsed: delivered.Headers(), data: delivered.Data()}
		if err := each(m); err != nil {
			return err
		}
		if seq == to || meta.NumPending == 0 {
			return nil
		}
	}
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
func readBack(ctx context.Context, archive Side) (*summary, error) {
	s := newSummary()
	err := unpack(ctx, archive, 1, func(p *parcel) error {
		s.add(p.message)
		if p.onPrimary > 0 {
			s.OnPrimary++
		}
		return nil
	})
	return s, err
}
