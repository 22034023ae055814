package dedup_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/dedup"
)

// TestReadersOfTheMirror wants nobody who reads the stream to be handed a seed, and each to go on afterwards.
func TestReadersOfTheMirror(t *testing.T) {
	p := single(t)
	const n = 2_000
	m := p.mirror(t, "READ", nil, nil, func(m *mirrored) { m.publish("a", n) })
	readers := map[string]*reader{}
	for name, config := range map[string]jetstream.ConsumerConfig{
		"all":      {Durable: "all", AckPolicy: jetstream.AckExplicitPolicy},
		"fast":     {AckPolicy: jetstream.AckNonePolicy, InactiveThreshold: time.Minute},
		"filtered": {Durable: "filtered", FilterSubject: "READ.>"},
		"several":  {Durable: "several", FilterSubjects: []string{"READ.>", "$devnull.>"}},
	} {
		readers[name] = m.read(config)
	}
	own := time.Now().Add(time.Hour).Truncate(time.Second)
	m.consumer(jetstream.ConsumerConfig{Durable: "stopped", PauseUntil: &own})
	soon := time.Now().Add(20 * time.Second).Truncate(time.Second)
	m.consumer(jetstream.ConsumerConfig{Durable: "soon", PauseUntil: &soon})
	for name, r := range readers {
		eventually(t, name+" to have read all", func() bool { return r.count() == n })
	}
	m.promote(nil)
	if acc := m.seed(dedup.Job{}); acc.Seeded != n {
		t.Fatalf("got %+v, want %d seeded", acc, n)
	}
	m.bind()
	m.duplicates("new", 1)
	for name, r := range readers {
		eventually(t, name+" to go on", func() bool { return r.count() > n })
		if subjects := r.devnull(); len(subjects) > 0 {
			t.Errorf("%s was handed %d seeds", name, len(subjects))
		}
	}
	for name, want := range map[string]time.Time{"stopped": own, "soon": soon} {
		c, err := p.js.Consumer(within(t), m.member.Stream, name)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.CachedInfo().Config.PauseUntil; got == nil || !got.Equal(want) {
			t.Errorf("%s: paused until %v, want the application's own %v", name, got, want)
		}
	}
}

// TestPauseEnds wants the pause to have an end of its own, for a leader that dies.
func TestPauseEnds(t *testing.T) {
	p := single(t)
	m := p.mirror(t, "PAUSE", nil, nil, func(m *mirrored) { m.publish("a", 20_000) })
	m.consumer(jetstream.ConsumerConfig{Durable: "all"})
	m.promote(nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = dedup.Seed(within(t), p.conn, dedup.Job{Member: m.member, MaxIDs: 20_000, Budget: time.Second})
	}()
	var until time.Time
	eventually(t, "a paused consumer", func() bool {
		c, err := p.js.Consumer(within(t), m.member.Stream, "all")
		if err != nil || c.CachedInfo().Config.PauseUntil == nil {
			return false
		}
		until = *c.CachedInfo().Config.PauseUntil
		return true
	})
	if left := time.Until(until); left > time.Minute {
		t.Errorf("paused for %v", left)
	}
	<-done
}

func (m *mirrored) consumer(c jetstream.ConsumerConfig) jetstream.Consumer {
	m.t.Helper()
	cons, err := m.js.CreateConsumer(within(m.t), m.member.Stream, c)
	if err != nil {
		m.t.Fatal(err)
	}
	return cons
}

// reader is an application that reads the mirror, before and after it is promoted.
type reader struct {
	mu       sync.Mutex
	subjects []string
}

func (m *mirrored) read(c jetstream.ConsumerConfig) *reader {
	m.t.Helper()
	r := &reader{}
	cc, err := m.consumer(c).Consume(func(msg jetstream.Msg) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.subjects = append(r.subjects, msg.Subject())
		_ = msg.Ack()
	})
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(cc.Stop)
	return r
}

func (r *reader) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.subjects)
}

// devnull are the parked subjects of what was read.
func (r *reader) devnull() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	prefix := strings.TrimSuffix(policy.ParkSubject(policy.MemberID{}), ".")
	return slices.DeleteFunc(slices.Clone(r.subjects), func(s string) bool { return !strings.HasPrefix(s, prefix) })
}
