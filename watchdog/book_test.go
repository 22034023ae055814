package watchdog_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/understudy-ha/understudy/watchdog/jsapi"
	"github.com/understudy-ha/understudy/watchdog/salvage"
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
	writePatient = 2 * time.Second
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

// side is a stream as salvage reads it.
func (w *world) side(t *testing.T, site, stream string) salvage.Side {
	t.Helper()
	s := w.lab.Site(site)
	nc, err := jsapi.DialBulk(w.ctx, jsapi.Login{Servers: s.URLs(), User: s.User(), Password: s.Password()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return salvage.Side{Site: salvage.Site{Name: site, Conn: nc, Domain: s.Domain}, Stream: stream}
}

// contents counts the messages of a stream by their payloads.
func (w *world) contents(t *testing.T, site, stream string) map[string]int {
	t.Helper()
	nc, err := w.conn(site)
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	count := w.mustInfo(t, site, stream).State.Msgs
	c, err := js.OrderedConsumer(w.ctx, stream, jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	it, err := c.Messages()
	if err != nil {
		t.Fatal(err)
	}
	defer it.Stop()
	held := map[string]int{}
	for range count {
		m, err := it.Next(jetstream.NextContext(w.ctx))
		if err != nil {
			t.Fatal(err)
		}
		held[string(m.Data())]++
	}
	return held
}

// archived is what an archive holds, by payload: whether the primary has it, too.
func (w *world) archived(t *testing.T, archive salvage.Side, each func(salvage.Entry)) map[string]bool {
	t.Helper()
	held := map[string]bool{}
	if err := salvage.Show(w.ctx, archive, "", func(e salvage.Entry) error {
		held[string(e.Data)] = e.OnPrimary > 0
		each(e)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return held
}

// balance wants every acked message on the primary or in the archive, and none on the primary twice.
func (b *book) balance(t *testing.T, primary map[string]int, archive map[string]bool) {
	t.Helper()
	var lost []string
	for _, key := range b.keys(0, endOK) {
		if _, salvaged := archive[key]; primary[key] == 0 && !salvaged {
			lost = append(lost, key)
		}
	}
	var doubled []string
	for key, n := range maps.All(primary) {
		if n > 1 && !strings.HasPrefix(key, "payload ") {
			doubled = append(doubled, key)
		}
	}
	if len(lost)+len(doubled) > 0 {
		t.Errorf("%d acked messages are nowhere, as %q; %d are on the primary twice, as %q", len(lost), lost[:min(3, len(lost))],
			len(doubled), doubled[:min(3, len(doubled))])
	}
}

// replay publishes the archive to the primary, and again, which must find nothing left to do.
func (w *world) replay(t *testing.T, archive, primary salvage.Side) salvage.Replayed {
	t.Helper()
	first, err := salvage.Replay(w.ctx, salvage.ReplayJob{Archive: archive, Primary: primary})
	if err != nil || first.Failed > 0 {
		t.Fatalf("replay: %+v, %v", first, err)
	}
	again, err := salvage.Replay(w.ctx, salvage.ReplayJob{Archive: archive, Primary: primary})
	if err != nil || again.Replayed > 0 || again.Failed > 0 {
		t.Errorf("the second replay: %+v, %v", again, err)
	}
	return first
}
