package salvage

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/sethvargo/go-retry"

	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

// errEnough ends a scan early, in good order.
var errEnough = errors.New("enough")

// jumpAfter is the number of sequences without a message after which a scan asks where the next one is.
const jumpAfter = 32

// leaderless bounds the time in which a stream may be without a leader in the midst of a scan.
const leaderless = 20 * time.Second

// scan calls each with every message of a range, in order. It reads with MSG.GET: that needs no consumer, so it works
// on a sealed stream, one that is full of consumers, and one with any retention; the leader answers it; and it gives
// the header block as it is stored.
func (s Side) scan(ctx context.Context, from, to uint64, each func(*message) error) error {
	info, err := s.info(ctx)
	if err != nil {
		return fmt.Errorf("read %s: %w", s, err)
	}
	c := &scanner{side: s, at: max(from, info.State.FirstSeq, 1), to: min(to, info.State.LastSeq), each: each}
	c.win = newWindow(info.State.Bytes)
	backoff := retry.WithMaxDuration(leaderless, retry.NewConstant(200*time.Millisecond))
	err = retry.Do(ctx, backoff, func(ctx context.Context) error {
		before := c.at
		err := c.run(ctx)
		if errors.Is(err, jsapi.ErrNoResponders) || errors.Is(err, jsapi.ErrTimeout) && c.at > before {
			return retry.RetryableError(err)
		}
		return err
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s at sequence %d: %w", s, c.at, err)
	}
	return nil
}

// scanner is one scan. at is the sequence that comes next, whatever was asked for already: so it can run again.
type scanner struct {
	side   Side
	at, to uint64
	misses int // in a row
	win    *window
	each   func(*message) error
}

func (c *scanner) run(ctx context.Context) error {
	p, err := openPipe(c.side.Conn)
	if err != nil {
		return err
	}
	defer p.close()
	for c.at <= c.to {
		if c.misses >= jumpAfter && p.waiting() == 0 {
			if more, err := c.jump(ctx); err != nil || !more {
				return err
			}
		}
		if err := c.fill(p); err != nil {
			return err
		}
		if err := c.step(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// fill asks ahead, unless there seem to be no messages.
func (c *scanner) fill(p *pipe) error {
	for c.misses < jumpAfter && p.waiting() < c.win.size {
		seq := c.at + uint64(p.waiting())
		if seq > c.to {
			return nil
		}
		body := append(strconv.AppendUint([]byte(`{"seq":`), seq, 10), '}')
		if err := p.send(&nats.Msg{Subject: c.side.api("STREAM.MSG.GET." + c.side.Stream), Data: body}); err != nil {
			return err
		}
	}
	return nil
}

func (c *scanner) step(ctx context.Context, p *pipe) error {
	answer, err := p.take(ctx)
	if err != nil {
		return err
	}
	c.win.saw(len(answer.Data))
	m, err := readAnswer(answer.Data)
	if errors.Is(err, errNoMessage) {
		c.misses++
		c.at++
		return nil
	}
	if err != nil {
		return err
	}
	if err := c.each(m); err != nil {
		return err
	}
	c.misses = 0
	c.at++
	return nil
}

// jump goes to the next message; false when there is none.
func (c *scanner) jump(ctx context.Context) (bool, error) {
	m, err := c.side.from(ctx, c.at)
	if errors.Is(err, errNoMessage) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	c.at, c.misses = m.seq, 0
	return c.at <= c.to, nil
}

// window bounds what a scan has under way. Nobody knows how large the next messages are: so it goes by the largest of
// the last ones, and never further than what the stream holds as a whole can fill.
type window struct {
	size    int
	most    int
	largest int // of this period
	before  int // of the one before
	count   int
}

const (
	windowBytes  = 16 << 20
	windowPeriod = 1024
	windowMost   = 256  // of large streams
	windowSmall  = 1024 // of streams that fit into the budget anyway
)

func newWindow(streamBytes uint64) *window {
	w := &window{size: 16, most: windowMost}
	if streamBytes < 2*windowBytes {
		w.most = windowSmall
	}
	return w
}

func (w *window) saw(size int) {
	w.largest = max(w.largest, size)
	if w.count++; w.count == windowPeriod {
		w.before, w.largest, w.count = w.largest, size, 0
	}
	fits := windowBytes / (max(w.largest, w.before) + 1)
	w.size = max(2, min(w.size+1, w.most, fits))
}
