package watchdog_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// end is how an attempt to publish ended. Fail means that nothing was there to store it; of unknown, only the stores
// can tell.
type end string

const (
	endOK      end = "ok"
	endFail    end = "fail"
	endUnknown end = "unknown"
)

// attempt is one try to publish one message. Its key is the payload, unique, and the Nats-Msg-Id unless it begins with
// plain.
type attempt struct {
	key    string
	end    end
	stream string // that acked
}

// plain begins the keys of messages without a Nats-Msg-Id.
const plain = "plain-"

// book records every attempt.
type book struct {
	mu       sync.Mutex
	attempts []attempt
	acks     map[string]int // by stream
}

func newBook() *book { return &book{acks: map[string]int{}} }

func (b *book) enter(key string, ack *jetstream.PubAck, err error) end {
	a := attempt{key: key, end: endUnknown}
	var refused *jetstream.APIError
	switch {
	case err == nil:
		a.end, a.stream = endOK, ack.Stream
	case errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, nats.ErrNoResponders), errors.As(err, &refused),
		errors.Is(err, nats.ErrReconnectBufExceeded):
		a.end = endFail
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.attempts = append(b.attempts, a)
	if a.end == endOK {
		b.acks[a.stream]++
	}
	return a.end
}

// acked counts the acks by a stream, "" any.
func (b *book) acked(stream string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if stream != "" {
		return b.acks[stream]
	}
	n := 0
	for _, c := range b.acks {
		n += c
	}
	return n
}

// keys are those of the attempts from the n-th on that ended so.
func (b *book) keys(from int, e end) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	seen := map[string]bool{}
	var list []string
	for _, a := range b.attempts[from:] {
		if a.end == e && !seen[a.key] {
			seen[a.key] = true
			list = append(list, a.key)
		}
	}
	return list
}

func (b *book) size() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.attempts)
}

func (b *book) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	ends := map[end]int{}
	for _, a := range b.attempts {
		ends[a.end]++
	}
	return fmt.Sprintf("%d attempts: %v, acks %v", len(b.attempts), ends, b.acks)
}

// writer publishes at one site, and enters each end in a book.
type writer struct {
	b       *book
	js      jetstream.JetStream
	subject string
}

const (
	writeAhead   = 256 // messages under way
	writePatient = 5 * time.Second
)

func (w *world) writer(t *testing.T, b *book, site, name string) *writer {
	t.Helper()
	nc, err := w.conn(site)
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(2*writeAhead), jetstream.WithPublishAsyncTimeout(writePatient))
	if err != nil {
		t.Fatal(err)
	}
	return &writer{b: b, js: js, subject: subject(name) + ".book"}
}

func (p *writer) message(key string) *nats.Msg {
	m := nats.NewMsg(p.subject)
	m.Data = []byte(key)
	if !strings.HasPrefix(key, plain) {
		m.Header.Set(nats.MsgIdHdr, key)
	}
	return m
}

// stream publishes what next gives, until that is "", many at a time.
func (p *writer) stream(next func() string) {
	type sent struct {
		key string
		ack jetstream.PubAckFuture
	}
	under := make(chan sent, writeAhead)
	var reader sync.WaitGroup
	reader.Go(func() {
		for s := range under {
			select {
			case ack := <-s.ack.Ok():
				p.b.enter(s.key, ack, nil)
			case err := <-s.ack.Err():
				p.b.enter(s.key, nil, err)
			}
		}
	})
	for key := next(); key != ""; key = next() {
		ack, err := p.js.PublishMsgAsync(p.message(key))
		if err != nil {
			p.b.enter(key, nil, err)
			continue
		}
		under <- sent{key, ack}
	}
	close(under)
	reader.Wait()
}

// all publishes each key once, and returns those that were not acked.
func (p *writer) all(keys []string) (rest []string) {
	from := p.b.size()
	list := keys
	p.stream(func() string {
		if len(list) == 0 {
			return ""
		}
		key := list[0]
		list = list[1:]
		return key
	})
	acked := map[string]bool{}
	for _, key := range p.b.keys(from, endOK) {
		acked[key] = true
	}
	for _, key := range keys {
		if !acked[key] {
			rest = append(rest, key)
		}
	}
	return rest
}

// one publishes a message again and again until it is acked.
func (p *writer) one(ctx context.Context, key string) {
	for ctx.Err() == nil {
		try, cancel := context.WithTimeout(ctx, time.Second)
		ack, err := p.js.PublishMsg(try, p.message(key), jetstream.WithRetryAttempts(0))
		cancel()
		if p.b.enter(key, ack, err) == endOK {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond): // as an application waits before it tries again
		}
	}
}

// background starts publishers at sites, four each, which retry until each message is acked. stop ends and awaits them.
func (w *world) background(t *testing.T, b *book, name string, sites ...string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(w.ctx)
	var work sync.WaitGroup
	for _, site := range sites {
		p := w.writer(t, b, site, name)
		for n := range 4 {
			work.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					p.one(ctx, fmt.Sprintf("%s-%d-%d", site, n, i))
				}
			})
		}
	}
	once := sync.OnceFunc(func() {
		cancel()
		work.Wait()
	})
	t.Cleanup(once)
	return once
}

// numbered makes n keys; every twentieth is of a message without an id.
func numbered(prefix string, n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("%s-%d", prefix, i)
		if i%20 == 19 {
			keys[i] = plain + keys[i]
		}
	}
	return keys
}
