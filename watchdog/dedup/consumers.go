package dedup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

// pausing is how many consumers are paused, or resumed, at a time.
const pausing = 16

// listener is a consumer of the target.
type listener struct {
	name   string
	config jetstream.ConsumerConfig
}

// pauseConsumers keeps the seeds from those who read the mirror: every consumer that would be handed them is paused, for a
// time that ends by itself if this leader dies. resume gives each what it had.
func (s *seeding) pauseConsumers(ctx context.Context) (resume func(context.Context), err error) {
	if s.Fresh != nil && s.target.state.Consumers == 0 { // as of a moment ago
		return func(context.Context) {}, nil
	}
	until := s.target.now.Add(s.Budget + 2*cleanUp) // by the server's clock
	all, err := s.listeners(ctx)
	if err != nil {
		return nil, fmt.Errorf("list consumers: %w", err)
	}
	reading := slices.DeleteFunc(all, func(c listener) bool {
		own := c.config.PauseUntil
		return strings.HasPrefix(c.name, readerPrefix) || !reads(c.config, s.seed.subject) || own != nil && own.After(until)
	})
	resume = func(ctx context.Context) {
		_ = each(reading, func(c listener) error { return s.resume(ctx, c) }) // else it ends by itself
	}
	err = each(reading, func(c listener) error {
		err := s.conn.PauseConsumer(ctx, s.Member.Stream, c.name, until)
		if errors.Is(err, jsapi.ErrConsumerNotFound) {
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

// listeners are all consumers that answer.
func (s *seeding) listeners(ctx context.Context) ([]listener, error) {
	infos, _, err := s.conn.Consumers(ctx, s.Member.Stream)
	all := make([]listener, len(infos))
	for i, info := range infos {
		all[i].name = info.Name
		if err := json.Unmarshal(info.Config, &all[i].config); err != nil {
			return nil, fmt.Errorf("consumer %s: unreadable config: %w", info.Name, err)
		}
	}
	return all, err
}

// resume lets a consumer go on, unless the application itself had it paused for longer than until now.
func (s *seeding) resume(ctx context.Context, c listener) error {
	var until time.Time
	if own := c.config.PauseUntil; own != nil && own.After(time.Now()) {
		until = *own
	}
	return s.conn.PauseConsumer(ctx, s.Member.Stream, c.name, until)
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
func each(all []listener, do func(listener) error) error {
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
