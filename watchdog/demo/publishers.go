package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	publisherCount = 4                     // outside of the origin's site; print.go says four
	publishPace    = 15 * time.Millisecond // of each: about 65 messages a second
	insidePace     = 5 * time.Millisecond  // of the one at the origin's site, in the story
	publishTimeout = 500 * time.Millisecond
	retryPause     = 20 * time.Millisecond
	// flowingAcks is how many acks each publisher has before the fault, and again after it before the demo ends.
	flowingAcks = 50
)

// The ends of an attempt. Fail means that nothing was there to store it; of unknown, only the stores can tell.
const (
	ackOK      = "ok"
	ackFail    = "fail"
	ackUnknown = "unknown"
)

// attempt is one try to publish one message.
type attempt struct {
	who    int // which publisher
	id     string
	end    string
	stream string // that acked
	at     time.Time
	cut    bool // by the end of the demo
}

// publishers publish by subject, from the surviving sites, and retry each message until it is acked. In the story there is
// one more at the origin's site, the last of them: what it gets acked while the site is cut off is the tail.
type publishers struct {
	cancel context.CancelFunc
	work   sync.WaitGroup
	conns  []*nats.Conn

	mu       sync.Mutex
	attempts []attempt
	acks     []map[string]int // by publisher: acks of each stream
}

func startPublishers(ctx context.Context, s *scene) (*publishers, error) {
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p := &publishers{cancel: cancel}
	for _, site := range s.publisherSites() {
		nc, err := s.connect(ctx, site, nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
		if err != nil {
			p.stop()
			return nil, err
		}
		p.conns, p.acks = append(p.conns, nc), append(p.acks, map[string]int{})
	}
	for i, nc := range p.conns {
		pace := publishPace
		if i >= publisherCount {
			pace = insidePace
		}
		p.work.Go(func() { p.publish(run, i, pace, nc) })
	}
	return p, nil
}

// publisherSites is where each publisher is.
func (s *scene) publisherSites() []string {
	var sites []string
	for i, spares := 0, s.spares(); i < publisherCount; i++ {
		sites = append(sites, spares[i%len(spares)])
	}
	if s.o.Story {
		sites = append(sites, origin)
	}
	return sites
}

// stop ends the publishers and waits for them. It may be called twice.
func (p *publishers) stop() {
	p.cancel()
	p.work.Wait()
	for _, nc := range p.conns {
		nc.Close()
	}
}

// publish is one publisher: the next message goes out only when the one before is acked.
func (p *publishers) publish(ctx context.Context, n int, pace time.Duration, nc *nats.Conn) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for i := 1; ; i++ {
		id := fmt.Sprintf("p%d-%d", n+1, i)
		for p.try(ctx, n, nc, id) != ackOK {
			if !wait(ctx, retryPause) {
				return
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// try publishes once and records how it ended. An attempt that stop cuts short is unknown, as it would be to a
// publisher that dies.
func (p *publishers) try(ctx context.Context, n int, nc *nats.Conn, id string) string {
	m := nats.NewMsg(fmt.Sprintf("events.p%d", n+1))
	m.Header.Set(nats.MsgIdHdr, id)
	m.Data = []byte(id)
	try, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	a := attempt{who: n, id: id, end: ackUnknown}
	reply, err := nc.RequestMsgWithContext(try, m)
	a.at, a.cut = time.Now(), ctx.Err() != nil
	var ack struct {
		Stream string          `json:"stream"`
		Seq    uint64          `json:"seq"`
		Error  json.RawMessage `json:"error"`
	}
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		a.end = ackFail
	case err != nil:
	case json.Unmarshal(reply.Data, &ack) != nil:
	case ack.Error != nil:
		a.end = ackFail
	case ack.Seq > 0:
		a.end, a.stream = ackOK, ack.Stream
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.attempts = append(p.attempts, a)
	if a.end == ackOK {
		p.acks[n][ack.Stream]++
	}
	return a.end
}

// flowing reports by nil that the messages of every publisher outside are acked by the origin.
func (p *publishers) flowing() error { return p.flowingTo(streamName) }

// flowingTo reports by nil that every publisher outside has acks of a stream.
func (p *publishers) flowingTo(stream string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, acks := range p.acks[:publisherCount] {
		if acks[stream] < flowingAcks {
			return fmt.Errorf("publisher %d has %d acks of %s, want %d", i+1, acks[stream], stream, flowingAcks)
		}
	}
	return nil
}

// flowingSince reports by nil that every publisher outside has some acks of a stream among the attempts from the n-th on.
func (p *publishers) flowingSince(n int, stream string, want int) error {
	var acks [publisherCount]int
	for _, a := range p.since(n) {
		if a.end == ackOK && a.stream == stream && a.who < publisherCount {
			acks[a.who]++
		}
	}
	for i, n := range acks {
		if n < want {
			return fmt.Errorf("publisher %d has %d new acks of %s, want %d", i+1, n, stream, want)
		}
	}
	return nil
}

// insideAcked counts the acks, from the n-th attempt on, of the publisher at the origin's site.
func (p *publishers) insideAcked(n int) int {
	acks := 0
	for _, a := range p.since(n) {
		if a.end == ackOK && a.who == publisherCount {
			acks++
		}
	}
	return acks
}

// since returns the attempts from the n-th on.
func (p *publishers) since(n int) []attempt {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.attempts[n:len(p.attempts):len(p.attempts)]
}

// acked lists the ids that were acked.
func (p *publishers) acked() map[string]bool {
	ids := map[string]bool{}
	for _, a := range p.since(0) {
		if a.end == ackOK {
			ids[a.id] = true
		}
	}
	return ids
}

// wait returns false when the context ends first.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
