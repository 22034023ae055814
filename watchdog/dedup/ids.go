package dedup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// firstChunk is how many sequences are read first; each further chunk is twice as long, so that a stream of which
	// little is left is gone through soon.
	firstChunk = 10_000
	// scanPerID bounds the reading where few messages have an id: four messages for each id that may be seeded.
	scanPerID = 4
	minScan   = 10_000
	// fetchSize is how many messages are asked for at once.
	fetchSize = 5_000
	// fetchWait limits one answer to that.
	fetchWait = 2 * time.Second
	// settle is how long a replica may lag behind the leader before what it holds is taken for all.
	settle = 250 * time.Millisecond
	// makeWait limits the making of the consumer that reads: it may be put on a replica that has just died, and then
	// nobody answers.
	makeWait = time.Second
	// dismissWait is how long the answer to its removal is waited for.
	dismissWait = 100 * time.Millisecond
	// readPatience is how long a chunk is asked for again after an error: each time the consumer may be put elsewhere, and
	// a server that is gone is known to be after some seconds.
	readPatience = readyPatience
	// readerIdle removes the reading consumer of a leader that died.
	readerIdle = 10 * time.Second
)

// readerPrefix begins the names of the consumers that read ids.
const readerPrefix = "understudy-dedup-"

// held is one message's id, "" if it has none, and the time at which the origin stored it.
type held struct {
	id string
	at time.Time
}

// Ids are what a Follower found.
type Ids struct {
	all     []held    // with an id, newest first, each once
	newest  time.Time // of the newest message, with an id or not
	upTo    uint64
	scanned int
}

// newest returns the ids of the window that the target holds, newest first, at most MaxIDs.
func (s *seeding) newest(ctx context.Context) ([]string, error) {
	ids := s.Gathered
	if ids == nil || ids.upTo != s.LastSeq {
		var err error
		if ids, err = s.gather(ctx, s.cutoff); err != nil {
			return nil, err
		}
	}
	list, oldest := []string{}, s.cutoff(ids.newest)
	for _, m := range ids.all {
		if m.at.Before(oldest) {
			break
		}
		list = append(list, m.id)
	}
	return list, nil
}

// gather reads backwards in chunks, and holds no more than a chunk's ids beside what it returns.
func (s *seeding) gather(ctx context.Context, cutoff func(newest time.Time) time.Time) (*Ids, error) {
	last, first := s.target.state.LastSeq, max(1, s.target.state.FirstSeq)
	if s.LastSeq > 0 {
		last = min(last, s.LastSeq)
	}
	c := collected{Ids: Ids{upTo: s.LastSeq}, max: s.MaxIDs, cutoff: cutoff, seen: map[string]bool{}}
	limit := max(minScan, scanPerID*s.MaxIDs)
	width := uint64(min(firstChunk, s.MaxIDs))
	for hi := last; hi >= first && c.scanned < limit; width *= 2 {
		lo := first
		if hi-first >= width {
			lo = hi - width + 1
		}
		chunk, err := s.read(ctx, lo, hi, hi == last)
		if err != nil {
			return nil, fmt.Errorf("read sequences %d to %d: %w", lo, hi, err)
		}
		if !c.add(chunk) {
			break
		}
		hi = lo - 1
	}
	return &c.Ids, nil
}

// collected are the ids found so far.
type collected struct {
	Ids
	max    int
	cutoff func(newest time.Time) time.Time
	oldest time.Time // that counts; known with the first message
	seen   map[string]bool
}

// add takes in a chunk of older messages, and says whether still older ones are wanted.
func (c *collected) add(chunk []held) (more bool) {
	c.scanned += len(chunk)
	for _, m := range slices.Backward(chunk) {
		if c.newest.IsZero() {
			c.newest, c.oldest = m.at, c.cutoff(m.at)
		}
		if m.at.Before(c.oldest) || len(c.all) == c.max {
			return false
		}
		if m.id != "" && !c.seen[m.id] {
			c.all, c.seen[m.id] = append(c.all, m), true
		}
	}
	return len(c.all) < c.max
}

// cutoff is the oldest time that counts, for a newest message of a time. A publisher may retry what the origin took within
// the window before it went; what is older than that the origin itself would have stored again.
func (s *seeding) cutoff(newest time.Time) time.Time {
	end := newest
	if s.Outage > 0 {
		if gone := s.target.now.Add(-s.Outage); gone.After(end) {
			end = gone
		}
	}
	return end.Add(-s.Window)
}

// read returns what is held from lo to hi, oldest first. The consumer may sit on a replica that has yet to hear of the
// newest messages, so with toEnd hi is waited for a moment; and it may not be there yet when it is asked first.
func (s *seeding) read(ctx context.Context, lo, hi uint64, toEnd bool) ([]held, error) {
	began := time.Now()
	for {
		chunk, last, err := s.readOnce(ctx, lo, hi)
		took := time.Since(began)
		if err == nil && (!toEnd || last == hi || took > settle) || err != nil && took > readPatience {
			return chunk, err
		}
		if pause(ctx, poll); ctx.Err() != nil {
			return nil, errors.Join(err, ctx.Err())
		}
	}
}

// readOnce returns what a consumer of its own delivers, headers only, and the last sequence of that.
func (s *seeding) readOnce(ctx context.Context, lo, hi uint64) (chunk []held, last uint64, err error) {
	cons, name, err := s.reader(ctx, lo)
	if err != nil {
		return nil, 0, err
	}
	defer s.dismiss(ctx, name)
	left := min(int(cons.CachedInfo().NumPending), int(hi-lo+1))
	for left > 0 {
		n := len(chunk)
		batch, err := cons.Fetch(min(left, fetchSize), jetstream.FetchMaxWait(fetchWait))
		if err != nil {
			return nil, 0, err
		}
		got, at, more, err := s.take(batch, hi)
		if err != nil {
			return nil, 0, err
		}
		chunk, last = append(chunk, got...), max(last, at)
		if left -= len(chunk) - n; !more {
			return chunk, last, nil
		}
	}
	return chunk, last, nil
}

// reader makes a consumer that reads headers from a sequence on, and leaves no trace. One that was made without an answer
// is removed, too.
func (s *seeding) reader(ctx context.Context, from uint64) (c jetstream.Consumer, name string, err error) {
	name = readerPrefix + nats.NewInbox()[len(nats.InboxPrefix):]
	asked, done := context.WithTimeout(ctx, makeWait)
	defer done()
	c, err = s.js.CreateConsumer(asked, s.Member.Stream, jetstream.ConsumerConfig{
		Name:          name,
		Description:   "reads the message ids of the deduplication window",
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from,
		AckPolicy: jetstream.AckNonePolicy, HeadersOnly: true, MemoryStorage: true, Replicas: 1,
		InactiveThreshold: readerIdle,
	})
	if err != nil {
		s.dismiss(ctx, name)
	}
	return c, name, err
}

// dismiss removes a consumer; or it ends by itself.
func (s *seeding) dismiss(ctx context.Context, name string) {
	asked, done := context.WithTimeout(ctx, dismissWait)
	defer done()
	_ = s.js.DeleteConsumer(asked, s.Member.Stream, name)
}

// take goes through one answer. more is false at the end of the stream, after hi, or when nothing came.
func (s *seeding) take(batch jetstream.MessageBatch, hi uint64) (chunk []held, last uint64, more bool, err error) {
	for m := range batch.Messages() {
		md, err := m.Metadata()
		if err != nil {
			return nil, 0, false, err
		}
		more = md.Sequence.Stream < hi && md.NumPending > 0
		if md.Sequence.Stream <= hi {
			chunk = append(chunk, held{m.Headers().Get(jetstream.MsgIDHeader), md.Timestamp})
			last = md.Sequence.Stream
		}
	}
	return chunk, last, more, batch.Error()
}
