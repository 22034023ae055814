package watchdog_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// loadPace is the pause between two messages of one of the four publishers: 1,000 messages a second in all.
	loadPace = 4 * time.Millisecond
	// loadTimeout is how long a publisher waits for an ack before it publishes the same message again.
	loadTimeout = 500 * time.Millisecond
	// loadRetry is its pause when nobody takes the message.
	loadRetry = time.Millisecond
)

// load is four publishers of one stream. Each sends its next message when the one before is acked, and every message
// with the same Nats-Msg-Id until it is.
type load struct {
	stream  string
	pace    time.Duration
	clients []jetstream.JetStream
	sent    []int // by publisher: the number of its last acked message

	mu   sync.Mutex
	acks []time.Time
	by   map[string]int // acks by the stream that gave them

	cancel context.CancelFunc
	work   sync.WaitGroup
}

// newLoad connects two publishers to each of two sites.
func (w *world) newLoad(t *testing.T, stream string, sites ...string) *load {
	t.Helper()
	l := &load{stream: stream, pace: loadPace, by: map[string]int{}}
	for _, site := range slices.Concat(sites, sites) {
		nc, err := w.lab.Connect(w.ctx, site, site, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond), nats.ReconnectBufSize(-1))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		l.clients, l.sent = append(l.clients, js), append(l.sent, 0)
	}
	return l
}

// start lets the publishers go on where they stopped.
func (l *load) start(t *testing.T, w *world) {
	t.Helper()
	var ctx context.Context
	ctx, l.cancel = context.WithCancel(context.Background())
	before := l.count()
	for i := range l.clients {
		l.work.Go(func() { l.publish(ctx, w.ctx, i) })
	}
	w.await(t, soon, func() error {
		if n := l.count() - before; n < 200 {
			return fmt.Errorf("%d messages of %s were acked", n, l.stream)
		}
		return nil
	})
}

// stop ends the publishers, each with an ack.
func (l *load) stop() {
	l.cancel()
	l.work.Wait()
}

// publish goes on until stopped ends, and then until its message is acked or the test's time is up.
func (l *load) publish(stopped, ctx context.Context, p int) {
	tick := time.NewTicker(l.pace)
	defer tick.Stop()
	for stopped.Err() == nil {
		m := nats.NewMsg(fmt.Sprintf("%s.p%d", subject(l.stream), p))
		m.Header.Set(nats.MsgIdHdr, fmt.Sprintf("%d-%d", p, l.sent[p]+1))
		for !l.try(ctx, p, m) {
			if ctx.Err() != nil {
				return
			}
		}
		l.sent[p]++
		<-tick.C
	}
}

func (l *load) try(ctx context.Context, p int, m *nats.Msg) bool {
	asked, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	ack, err := l.clients[p].PublishMsg(asked, m, jetstream.WithRetryAttempts(0))
	if err != nil {
		time.Sleep(loadRetry)
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acks, l.by[ack.Stream] = append(l.acks, time.Now()), l.by[ack.Stream]+1
	return true
}

func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acks)
}

// flows reports by nil that messages were acked lately, after the n-th.
func (l *load) flows(n int) error {
	if has := l.count(); has < n+200 {
		return fmt.Errorf("%d messages of %s were acked since the switchover began", has-n, l.stream)
	}
	return nil
}

// gap is the longest time without an ack since the from-th.
func (l *load) gap(from int) (longest time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := max(from, 1); i < len(l.acks); i++ {
		longest = max(longest, l.acks[i].Sub(l.acks[i-1]))
	}
	return longest
}

// check reads a stream and finds in it every acked message once, and each publisher's in the order of their numbers.
func (l *load) check(t *testing.T, w *world, site, name string) {
	t.Helper()
	acked, lost, doubled, reordered := l.tally(t, w, site, name)
	t.Logf("%s: %d acked, %d lost, %d duplicated, %d reordered", name, acked, lost, doubled, reordered)
	if acked == 0 || lost+doubled+reordered > 0 {
		t.Errorf("%s at %s: of %d acked messages %d are lost, %d duplicated, %d reordered", name, site, acked, lost, doubled, reordered)
	}
}

// tally counts what the publishers were acked, and what became of it in a stream.
func (l *load) tally(t *testing.T, w *world, site, name string) (acked, lost, doubled, reordered int) {
	t.Helper()
	held := make([]map[int]bool, len(l.sent))
	newest := make([]int, len(l.sent))
	for _, id := range w.ids(t, site, name) {
		p, n := publisherOf(t, id)
		if held[p] == nil {
			held[p] = map[int]bool{}
		}
		switch {
		case held[p][n]:
			doubled++
		case n < newest[p]:
			reordered++
		}
		held[p][n], newest[p] = true, max(newest[p], n)
	}
	for p, last := range l.sent {
		acked += last
		for n := 1; n <= last; n++ {
			if !held[p][n] {
				lost++
			}
		}
	}
	return acked, lost, doubled, reordered
}

func publisherOf(t *testing.T, id string) (p, n int) {
	t.Helper()
	first, second, _ := strings.Cut(id, "-")
	p, err := strconv.Atoi(first)
	n, err2 := strconv.Atoi(second)
	if err := errors.Join(err, err2); err != nil {
		t.Fatalf("message id %q: %v", id, err)
	}
	return p, n
}

// ids reads the message ids of a whole stream, in its order.
func (w *world) ids(t *testing.T, site, name string) (list []string) {
	t.Helper()
	nc, err := w.conn(site)
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	c, err := js.OrderedConsumer(w.ctx, name, jetstream.OrderedConsumerConfig{HeadersOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	it, err := c.Messages()
	if err != nil {
		t.Fatal(err)
	}
	defer it.Stop()
	for {
		m, err := it.Next(jetstream.NextContext(w.ctx))
		if err != nil {
			t.Fatal(err)
		}
		if id := m.Headers().Get(nats.MsgIdHdr); id != "" {
			list = append(list, id)
		}
		if meta, err := m.Metadata(); err != nil || meta.NumPending == 0 {
			return list
		}
	}
}
