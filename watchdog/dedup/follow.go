package dedup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

// lastWord is how long a follower waits for messages that its consumer may not have been handed yet.
const lastWord = 20 * time.Millisecond

// Follower reads the message ids that Seed will want while the target is a mirror still, and goes on as the mirror gets
// more, so that the publishers of a switchover need not wait for the reading.
type Follower struct {
	s        *seeding
	consumer jetstream.Consumer
	end      func()
	past     *Ids   // up to from
	from     uint64 // the mirror's last sequence when it began

	mu     sync.Mutex
	live   []held // after from, oldest first
	last   uint64 // the last sequence that was delivered
	count  uint64 // deliveries
	broken bool   // one was lost
	news   chan struct{}
}

// anyAge lets ids of every age count: which do is known once the stream is promoted.
func anyAge(time.Time) time.Time { return time.Time{} }

// Follow reads the newest Job.MaxIDs ids of a mirror, and begins to follow it. Close ends that.
func Follow(ctx context.Context, conn *jsapi.Conn, job Job) (*Follower, error) {
	f, err := follow(ctx, conn, job)
	if err != nil {
		return nil, fmt.Errorf("follow the message ids of %s: %w", job.Member, err)
	}
	return f, nil
}

func follow(ctx context.Context, conn *jsapi.Conn, job Job) (*Follower, error) {
	s, info, err := connect(ctx, conn, job)
	if err != nil {
		return nil, err
	}
	s.target = target{state: info.State, now: info.Time}
	f := &Follower{s: s, from: info.State.LastSeq, last: info.State.LastSeq, news: make(chan struct{}, 1)}
	if err := f.listen(ctx); err != nil {
		return nil, err
	}
	s.LastSeq = f.from
	if f.past, err = s.gather(ctx, anyAge); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// listen has all messages from here on delivered.
func (f *Follower) listen(ctx context.Context) error {
	c, name, err := f.s.reader(ctx, f.from+1)
	if err != nil {
		return err
	}
	running, err := c.Consume(f.take)
	if err != nil {
		f.s.dismiss(ctx, name)
		return err
	}
	f.consumer = c
	f.end = sync.OnceFunc(func() {
		running.Stop()
		f.s.dismiss(context.WithoutCancel(ctx), name)
	})
	return nil
}

func (f *Follower) take(m jetstream.Msg) {
	md, err := m.Metadata()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count++
	if err != nil || md.Sequence.Consumer != f.count {
		f.broken = true
	} else {
		f.last = md.Sequence.Stream
		f.live = append(f.live, held{m.Headers().Get(jetstream.MsgIDHeader), md.Timestamp})
		if most := max(minScan, scanPerID*f.s.MaxIDs); len(f.live) > 2*most {
			f.live = append([]held(nil), f.live[most:]...)
		}
	}
	select {
	case f.news <- struct{}{}:
	default:
	}
}

// ErrNotFollowed: the ids are not known up to where they are wanted.
var ErrNotFollowed = errors.New("the mirror was not followed up to there")

// Ids are the newest ids up to a sequence that is the mirror's last by now, as Job.LastSeq says then.
func (f *Follower) Ids(ctx context.Context, upTo uint64) (*Ids, error) {
	if !f.reached(ctx, upTo) {
		return nil, fmt.Errorf("message ids of %s up to %d: %w", f.s.Member, upTo, ErrNotFollowed)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c := collected{Ids: Ids{upTo: upTo}, max: f.s.MaxIDs, cutoff: anyAge, seen: map[string]bool{}}
	if c.add(f.live) {
		past := slices.Clone(f.past.all)
		slices.Reverse(past)
		c.add(past)
	}
	if c.newest.Before(f.past.newest) {
		c.newest = f.past.newest
	}
	return &c.Ids, nil
}

// reached waits for the message of a sequence. Where it was removed nothing comes, and the consumer is asked whether
// anything is left.
func (f *Follower) reached(ctx context.Context, seq uint64) bool {
	wait := time.NewTimer(lastWord)
	defer wait.Stop()
	for {
		f.mu.Lock()
		last, broken, count := f.last, f.broken, f.count
		f.mu.Unlock()
		if broken || last >= seq {
			return !broken && last == seq
		}
		select {
		case <-f.news:
			continue
		case <-wait.C:
		case <-ctx.Done():
			return false
		}
		info, err := f.consumer.Info(ctx)
		return err == nil && info.NumPending == 0 && info.Delivered.Consumer == count
	}
}

// Close ends the following.
func (f *Follower) Close() { f.end() }
