package dedup_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/dedup"
)

// stepDown makes another replica lead the stream.
func stepDown(t *testing.T, m *mirrored) {
	t.Helper()
	nc, err := m.conn.Client()
	if err != nil {
		t.Fatal(err)
	}
	api := fmt.Sprintf("$JS.%s.API.STREAM.LEADER.STEPDOWN.%s", m.conn.Domain(), m.member.Stream)
	if _, err := nc.RequestWithContext(within(t), api, nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a new leader", func() bool { return m.takes(m.subject(0)) })
}

// TestLeaderDies kills the server that leads the stream while ids are seeded there, and seeds again.
func TestLeaderDies(t *testing.T) {
	const n = 20_000
	l, p := replicatedAt(t)
	m := p.mirror(t, "DIES", nil, nil, func(m *mirrored) { m.publishAsync(n) })
	before := m.state()
	m.promote(nil)
	leader := m.must(p.conn.Info(within(t), m.member.Stream)).Leader()
	for _, s := range l.Site("west").Servers() { // another server stays our own
		if s.Name != leader {
			m.place = connect(t, loginTo(l.Site("west"), s.URL()), 3)
		}
	}
	done := make(chan error)
	go func() {
		acc, err := dedup.Seed(within(t), m.conn, dedup.Job{Member: m.member, MaxIDs: n})
		t.Logf("the first seeding: %+v", acc)
		done <- err
	}()
	eventually(t, "seeds", func() bool { return m.state().LastSeq > before.LastSeq+n/10 })
	for _, s := range l.Site("west").Servers() {
		if s.Name == leader {
			if err := s.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := <-done; err != nil {
		t.Logf("the first seeding ended early: %v", err)
	}
	eventually(t, "a leader", func() bool { return m.takes(policy.ParkSubject(m.member)) })
	acc := m.seed(dedup.Job{LastSeq: before.LastSeq})
	if acc.Seeded+acc.Known != n {
		t.Errorf("got %+v, want %d ids", acc, n)
	}
	t.Logf("the second seeding: %+v", acc)
	m.whole(before, "a", 200)
}

// BenchmarkSeed tells what an id costs beside the publish of a message without waiting for each ack.
func BenchmarkSeed(b *testing.B) {
	const ids = 10_000
	for name, at := range map[string]func(testing.TB) *place{"R1": single, "R3": replicated} {
		b.Run(name, func(b *testing.B) {
			p := at(b)
			var plain, seeding time.Duration
			for i := 0; b.Loop(); i++ {
				m := p.mirror(b, fmt.Sprint("BENCH", i), nil, nil, func(m *mirrored) { plain += m.publishAsync(ids) })
				m.promote(nil)
				acc := m.seed(dedup.Job{})
				if acc.Seeded != ids {
					b.Fatalf("got %+v, want %d", acc, ids)
				}
				seeding += acc.Took
			}
			b.ReportMetric(float64(seeding)/float64(plain), "x-publish")
			b.ReportMetric(float64(seeding.Milliseconds())/float64(b.N), "ms/10k-ids")
		})
	}
}

// publishAsync stores messages with ids a0 …, and returns how long that took.
func (m *mirrored) publishAsync(n int) time.Duration {
	m.t.Helper()
	began := time.Now()
	for i := range n {
		msg := &nats.Msg{Subject: m.subject(i), Header: nats.Header{nats.MsgIdHdr: {fmt.Sprint("a", i)}}, Data: make([]byte, 128)}
		if _, err := m.js.PublishMsgAsync(msg, jetstream.WithStallWait(20*time.Second)); err != nil {
			m.t.Fatal(err)
		}
	}
	select {
	case <-m.js.PublishAsyncComplete():
	case <-time.After(timeout):
		m.t.Fatal("not all acked")
	}
	return time.Since(began)
}
