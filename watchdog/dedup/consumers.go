package dedup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// pausing is how many consumers are paused, or resumed, at a time.
const pausing = 16

// pauseConsumers keeps the seeds from those who read the mirror: every consumer that would be handed them is paused, for a
// time that ends by itself if this leader dies. resume gives each what it had.
func (s *seeding) pauseConsumers(ctx context.Context) (resume func(context.Context), err error) {
	until := s.target.now.Add(s.Budget + 2*cleanUp) // by the server's clock
	var reading []*jetstream.ConsumerInfo
	list := s.stream.ListConsumers(ctx)
	for c := range list.Info() {
		if reads(c.Config, s.seed.subject) && !(c.Config.PauseUntil != nil && c.Config.PauseUntil.After(until)) {
			reading = append(reading, c)
		}
	}
	if err := list.Err(); err != nil {
		return nil, fmt.Errorf("list consumers: %w", err)
	}
	resume = func(ctx context.Context) {
		_ = each(reading, func(c *jetstream.ConsumerInfo) error { return s.resume(ctx, c) }) // else it ends by itself
	}
	err = each(reading, func(c *jetstream.ConsumerInfo) error {
		_, err := s.js.PauseConsumer(ctx, s.Member.Stream, c.Name, until)
		if errors.Is(err, jetstream.ErrConsumerNotFound) {
			return nil // it ended meanwhile
		}
		return err
	})
	if err != nil {
		resume(ctx)
		return nil, fmt.Errorf("pause consumers: %w", err)
	}
	return resume, nil
}

// resume lets a consumer go on, unless the application itself had it paused for longer than until now.
func (s *seeding) resume(ctx context.Context, c *jetstream.ConsumerInfo) error {
	if own := c.Config.PauseUntil; own != nil && own.After(time.Now()) {
		_, err := s.js.PauseConsumer(ctx, s.Member.Stream, c.Name, *own)
		return err
	}
	_, err := s.js.ResumeConsumer(ctx, s.Member.Stream, c.Name)
	return err
}

// reads tells whether a consumer's filters let a subject through.
func reads(c jetstream.ConsumerConfig, subject string) bool {
	filters := c.FilterSubjects
	if c.FilterSubject != "" {
		filters = append(slices.Clone(filters), c.FilterSubject)
	}
	return len(filters) == 0 || slices.ContainsFunc(filters, func(f string) bool { return matches(f, subject) })
}

// each does something to all consumers, a few at a time, and returns all errors.
func each(all []*jetstream.ConsumerInfo, do func(*jetstream.ConsumerInfo) error) error {
	var wg sync.WaitGroup
	errs, room := make([]error, len(all)), make(chan struct{}, pausing)
	for i, c := range all {
		room <- struct{}{}
		wg.Go(func() {
			defer func() { <-room }()
			errs[i] = do(c)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
