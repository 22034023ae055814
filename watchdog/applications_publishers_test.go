package watchdog_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// publisher publishes synchronously, each message with an id and until it is acked; four times over, outside of east.
type publisher struct {
	*applications
	load *load
}

func (p *publisher) before(t *testing.T) {
	p.load.pace = 40 * time.Millisecond
	p.load.start(t, p.w)
	p.publishOnce(t, "JOBS", "ack-lost")
}

// failedOver wants all to go on, and one whose ack was lost to be told that its message is there.
func (p *publisher) failedOver(t *testing.T) {
	p.flow(t, "PUBS_WEST")
	if ack := p.send(t, "JOBS", "ack-lost"); !ack.Duplicate {
		t.Errorf("the new primary has stored again what it holds: %+v", ack)
	}
}

func (p *publisher) rejoined(t *testing.T) { p.flow(t, "PUBS_WEST") }

// back settles the accounts: what the dead origin alone had acked is in the archive, and nothing else is missing.
func (p *publisher) back(t *testing.T) {
	p.flow(t, "PUBS")
	p.load.stop()
	acked, lost, doubled, reordered := p.load.tally(t, p.w, "east", "PUBS")
	s, err := p.w.status("PUBS")
	if err != nil {
		t.Fatal(err)
	}
	archived := 0
	for _, a := range s.Archives {
		archived += int(a.Messages - a.OnPrimary)
	}
	t.Logf("%d acked, of which %d are not on the primary, %d in the archive; %d duplicated, %d reordered", acked, lost, archived, doubled, reordered)
	if lost != archived || doubled+reordered > 0 {
		t.Errorf("%d are lost, %d archived, %d duplicated, %d reordered", lost, archived, doubled, reordered)
	}
}

// flow wants messages to be acked by a stream now.
func (p *publisher) flow(t *testing.T, stream string) {
	t.Helper()
	acks := func() int {
		p.load.mu.Lock()
		defer p.load.mu.Unlock()
		return p.load.by[stream]
	}
	from := acks()
	p.w.await(t, soon, func() error {
		if n := acks() - from; n < 50 {
			return fmt.Errorf("%d acks by %s", n, stream)
		}
		return nil
	})
}

// send publishes a message with an id, until it is acked.
func (a *applications) send(t *testing.T, name, id string) (ack *jetstream.PubAck) {
	t.Helper()
	js := a.js(t, "eu", "")
	a.w.await(t, soon, func() (err error) {
		ack, err = js.Publish(a.w.ctx, subject(name)+".once", []byte(id), jetstream.WithMsgID(id), jetstream.WithRetryAttempts(0))
		return err
	})
	return ack
}

// publishOnce does so while the origin lives, and waits until the mirrors hold it.
func (a *applications) publishOnce(t *testing.T, name, id string) {
	t.Helper()
	a.w.awaitMirrored(t, name, a.send(t, name, id).Sequence)
}

// listener hears what a stream publishes again under other subjects.
type listener struct {
	*applications
	sub *nats.Subscription
}

// republish has an origin publish again, under a destination, what it takes from a source.
func republish(source, destination string) func(*jetstream.StreamConfig) {
	return func(c *jetstream.StreamConfig) {
		c.RePublish = &jetstream.RePublish{Source: source, Destination: destination}
	}
}

func (l *listener) before(t *testing.T) {
	nc, err := l.w.conn("eu")
	if err != nil {
		t.Fatal(err)
	}
	if l.sub, err = nc.SubscribeSync("copy.again.>"); err != nil {
		t.Fatal(err)
	}
	l.publishOnce(t, "AGAIN", "first")
	l.publishOnce(t, "WIDE", "first")
	l.hear(t, "first", "AGAIN")
}

// failedOver wants the new primary to do the same. Message ids are not seeded where the listeners would hear the seeds.
func (l *listener) failedOver(t *testing.T) {
	l.send(t, "AGAIN", "second")
	l.hear(t, "second", "AGAIN_WEST")
	for _, c := range []struct{ stream, skipped string }{
		{"AGAIN", ""}, {"WIDE", "the stream would publish seeds to its listeners (republish of >)"},
	} {
		s, err := l.w.status(c.stream)
		if err != nil || s.Last == nil || s.Last.Seed == nil {
			t.Fatalf("no account of the seeding: %+v, %v", s.Last, err)
		}
		if got := s.Last.Seed.Skipped; got != c.skipped {
			t.Errorf("the seeding of %s was skipped: %q, want %q", c.stream, got, c.skipped)
		}
		// Without seeds a server that is alone may know an id or not.
		if ack := l.send(t, c.stream, "first"); c.skipped == "" && !ack.Duplicate {
			t.Errorf("a retry at %s: %+v, want a duplicate", c.stream, ack)
		}
	}
}

func (l *listener) rejoined(t *testing.T) {
	l.send(t, "AGAIN", "third")
	l.hear(t, "third", "AGAIN_WEST")
}

func (l *listener) back(t *testing.T) {
	l.send(t, "AGAIN", "fourth")
	l.hear(t, "fourth", "AGAIN")
	if m, err := l.sub.NextMsg(0); err == nil {
		t.Errorf("heard besides: %s on %s", m.Data, m.Subject)
	}
}

// hear wants the next message, by its payload, and the stream that it was stored in; each comes once.
func (l *listener) hear(t *testing.T, want, stream string) {
	t.Helper()
	for {
		m, err := l.sub.NextMsg(soon)
		if err != nil {
			t.Fatalf("waiting for %s: %v", want, err)
		}
		if strings.HasPrefix(string(m.Data), "payload ") { // of the lab
			continue
		}
		if string(m.Data) != want || m.Header.Get(jetstream.StreamHeader) != stream || m.Header.Get(jetstream.SequenceHeader) == "" {
			t.Errorf("heard %s on %s, %v; want %s of %s", m.Data, m.Subject, m.Header, want, stream)
		}
		return
	}
}
