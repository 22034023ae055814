package dedup_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/dedup"
	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

// TestRetries wants a retry of what the target holds to be a duplicate, and of what it lacks to be stored.
func TestRetries(t *testing.T) {
	t.Run("R1", func(t *testing.T) {
		p := single(t)
		t.Run("file", func(t *testing.T) { retries(t, p, "F", nil) })
		t.Run("memory", func(t *testing.T) { retries(t, p, "M", settings{"storage": "memory"}) })
		t.Run("gathered before", func(t *testing.T) { gathered(t, p, "G") })
	})
	t.Run("R3", func(t *testing.T) {
		p := replicated(t)
		for i := range 5 { // once, a whole seeding right after the promotion was lost
			t.Run(fmt.Sprint(i), func(t *testing.T) { retries(t, p, fmt.Sprint("F", i), nil) })
		}
		t.Run("gathered before", func(t *testing.T) { gathered(t, p, "G") })
	})
}

func retries(t *testing.T, p *place, name string, mirror settings) {
	const ids, without, deleted = 300, 20, 5
	m := p.mirror(t, name, nil, mirror, func(m *mirrored) {
		m.publish("a", ids)
		m.publishPlain(without)
		s, err := p.js.Stream(within(t), name)
		if err != nil {
			t.Fatal(err)
		}
		for seq := range uint64(deleted) {
			if err := s.DeleteMsg(within(t), 10+seq); err != nil {
				t.Fatal(err)
			}
		}
	})
	before := m.state()
	m.promote(nil)
	acc := m.seed(dedup.Job{LastSeq: before.LastSeq})
	const held = ids - deleted
	if acc.Seeded != held || acc.Known != 0 || acc.Skipped != "" || acc.LeftOut != 0 || acc.Burned != held || acc.Missing != 0 ||
		acc.LastSeq != before.LastSeq+held || acc.Took <= 0 {
		t.Errorf("account: got %+v, want %d seeded", acc, held)
	}
	if after := m.state(); after.Msgs != before.Msgs || after.FirstSeq != before.FirstSeq || !maps.Equal(after.Subjects, before.Subjects) {
		t.Errorf("what the stream holds: got %+v, want %+v", after, before)
	}
	m.bind()
	if p.replicas > 1 {
		stepDown(t, m)
	}
	if got := m.duplicates("a", ids); got != held {
		t.Errorf("duplicates: got %d, want %d, all but the deleted", got, held)
	}
	if got := m.duplicates("b", 10); got != 0 {
		t.Errorf("%d ids that the target lacks were swallowed", got)
	}
	if after := m.state(); after.Msgs != before.Msgs+deleted+10 || after.LastSeq != acc.LastSeq+deleted+10 {
		t.Errorf("after the retries: got %+v, want %d messages more than %+v", after, deleted+10, before)
	}
}

// gathered follows the ids of a mirror, and seeds them when it is promoted.
func gathered(t *testing.T, p *place, name string) {
	const ids, more, most = 300, 50, 200
	m := p.mirror(t, name, nil, nil, func(m *mirrored) {
		m.publish("b", ids)
		m.publishPlain(10)
	})
	job := dedup.Job{Member: m.member, MaxIDs: most}
	f, err := dedup.Follow(within(t), p.conn, job)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m.publish("a", more)
	last := m.must(p.conn.Info(within(t), name)).State.LastSeq
	eventually(t, "a mirror that holds all", func() bool { return m.state().LastSeq == last })
	job.LastSeq = last
	if job.Gathered, err = f.Ids(within(t), last); err != nil {
		t.Fatal(err)
	}
	job.Fresh = m.promote(nil)
	if acc := m.seed(job); acc.Seeded != most || acc.Burned != most || acc.LeftOut != 0 || acc.Missing != 0 {
		t.Errorf("account: got %+v, want %d seeded", acc, most)
	}
	m.bind()
	if a, b := m.duplicates("a", more), m.duplicates("b", ids); a != more || b != most-more {
		t.Errorf("duplicates: got %d of the newest %d and %d of those before, want %d in all", a, more, b, most)
	}
}

// TestFreshTarget seeds a target right after its promotion, where one ack may stand for all seeds.
func TestFreshTarget(t *testing.T) {
	p := single(t)
	const ids, more = 300, 100
	t.Run("keeps one message a subject", func(t *testing.T) {
		m := p.mirror(t, "KV", nil, nil, func(m *mirrored) { m.publish("a", ids) })
		before := m.state()
		reply := m.promote(settings{"max_msgs_per_subject": 64})
		if acc := m.seed(dedup.Job{LastSeq: before.LastSeq, Fresh: reply}); acc.Seeded != ids || acc.Burned != ids || acc.LeftOut != 0 {
			t.Errorf("account: got %+v, want %d seeded", acc, ids)
		}
		m.whole(before, "a", ids)
	})
	// A standalone server keeps the ids that a mirror copies, if its config has a window: the seeds of those are not stored.
	t.Run("knows some ids", func(t *testing.T) {
		m := p.mirror(t, "SOME", nil, nil, func(m *mirrored) { m.publish("a", ids) })
		m.update(m.must(p.conn.Info(within(t), m.member.Stream)).Config, settings{"duplicate_window": time.Minute})
		m.publish("b", more)
		last := m.must(p.conn.Info(within(t), "SOME")).State.LastSeq
		eventually(t, "a mirror that holds all", func() bool { return m.state().LastSeq == last })
		before := m.state()
		reply := m.promote(nil)
		if acc := m.seed(dedup.Job{LastSeq: last, Fresh: reply}); acc.Known+acc.Seeded != ids+more || acc.Burned != ids || acc.LeftOut != 0 {
			t.Errorf("account: got %+v, want %d known, for %d sequences", acc, ids+more, ids)
		}
		if after := m.state(); after.Msgs != before.Msgs {
			t.Errorf("%d messages, want %d: no seed is left", after.Msgs, before.Msgs)
		}
		m.bind()
		if a, b := m.duplicates("a", ids), m.duplicates("b", more); a != ids || b != more {
			t.Errorf("duplicates: got %d and %d, want %d and %d", a, b, ids, more)
		}
	})
}

// TestSeedAgain wants the end to be the same after a leader that died in the middle.
func TestSeedAgain(t *testing.T) {
	p := single(t)
	t.Run("seeds left", func(t *testing.T) {
		m := p.mirror(t, "LEFT", nil, nil, func(m *mirrored) { m.publish("a", 100) })
		before := m.state()
		m.promote(nil)
		for i := range 40 { // as the dead leader published them
			if _, err := p.conn.Publish(within(t), policy.ParkSubject(m.member), fmt.Sprint("a", 60+i), nil, nil); err != nil {
				t.Fatal(err)
			}
		}
		acc := m.seed(dedup.Job{})
		if acc.Seeded != 60 || acc.Known != 40 || acc.Burned != 60 || acc.Missing != 0 {
			t.Errorf("got %+v, want 60 seeded and 40 known", acc)
		}
		if acc = m.seed(dedup.Job{}); acc.Seeded != 0 || acc.Known != 100 || acc.Burned != 0 {
			t.Errorf("third run: got %+v, want all known", acc)
		}
		m.whole(before, "a", 100)
	})
	t.Run("cut short", func(t *testing.T) {
		m := p.mirror(t, "CUT", nil, nil, func(m *mirrored) { m.publish("a", 3_000) })
		before := m.state()
		m.promote(nil)
		cut := 0
		for after := time.Millisecond; after < 40*time.Millisecond; after += time.Millisecond {
			ctx, cancel := context.WithTimeout(within(t), after)
			if _, err := dedup.Seed(ctx, p.conn, dedup.Job{Member: m.member, MaxIDs: 3_000}); err != nil {
				cut++
			}
			cancel()
		}
		if cut == 0 {
			t.Error("no run was cut short")
		}
		if acc := m.seed(dedup.Job{}); acc.Seeded+acc.Known != 3_000 {
			t.Errorf("got %+v, want 3000", acc)
		}
		m.whole(before, "a", 3_000)
	})
}

// TestClean removes the seeds of a leader that died from a stream that was bound meanwhile, and nothing else.
func TestClean(t *testing.T) {
	p := single(t)
	const ids, left = 50, 20
	m := p.mirror(t, "C", nil, nil, func(m *mirrored) { m.publish("a", ids) })
	before := m.state()
	m.promote(nil)
	for i := range left {
		if _, err := p.conn.Publish(within(t), policy.ParkSubject(m.member), fmt.Sprint("a", i), nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	m.bind()
	for range 2 { // once more does nothing
		if err := dedup.Clean(within(t), p.conn, m.member); err != nil {
			t.Fatal(err)
		}
		if after := m.state(); after.Msgs != before.Msgs || !maps.Equal(after.Subjects, before.Subjects) || after.LastSeq != before.LastSeq+left {
			t.Errorf("what the stream holds: got %+v, want %+v with %d sequences burned", after, before, left)
		}
	}
}

// TestConnectionLost wants a seeding that loses its connection to say so, and another to finish it.
func TestConnectionLost(t *testing.T) {
	const n = 20_000
	p := single(t)
	m := p.mirror(t, "LOST", nil, nil, func(m *mirrored) { m.publishAsync(n) })
	before := m.state()
	m.promote(nil)
	other := connect(t, jsapi.Login{Servers: []string{p.server.ClientURL()}}, 1)
	done := make(chan error)
	go func() {
		_, err := dedup.Seed(within(t), other.conn, dedup.Job{Member: m.member, MaxIDs: n})
		done <- err
	}()
	eventually(t, "seeds", func() bool { return m.state().LastSeq > before.LastSeq })
	other.conn.Close()
	if err := <-done; !errors.Is(err, dedup.ErrNotClean) {
		t.Errorf("got %v, want ErrNotClean", err)
	}
	if acc := m.seed(dedup.Job{LastSeq: before.LastSeq}); acc.Seeded+acc.Known != n || acc.Known == 0 || acc.Missing != 0 {
		t.Errorf("got %+v, want %d ids, some known", acc, n)
	}
	m.whole(before, "a", 200)
}

// whole wants the stream to hold what it did, and to know n ids once it is bound.
func (m *mirrored) whole(before jetstream.StreamState, prefix string, n int) {
	m.t.Helper()
	if after := m.state(); after.Msgs != before.Msgs || !maps.Equal(after.Subjects, before.Subjects) {
		m.t.Errorf("what the stream holds: got %+v, want %+v", after, before)
	}
	m.bind()
	if got := m.duplicates(prefix, n); got != n {
		m.t.Errorf("duplicates: got %d, want %d", got, n)
	}
}

// TestNewestFirst wants the newest ids when not all may be seeded, each once, in a stream with messages that have none.
func TestNewestFirst(t *testing.T) {
	p := single(t)
	m := p.mirror(t, "NEWEST", nil, nil, func(m *mirrored) {
		m.publish("old", 50)
		m.publish("new", 15)
		m.publishPlain(20)
		m.publish("newest", 15)
	})
	m.promote(nil)
	if acc := m.seed(dedup.Job{MaxIDs: 30}); acc.Seeded != 30 {
		t.Errorf("got %+v, want 30 seeded", acc)
	}
	m.bind()
	for prefix, n := range map[string]int{"newest": 15, "new": 15} {
		if got := m.duplicates(prefix, n); got != n {
			t.Errorf("ids %s: got %d duplicates, want %d", prefix, got, n)
		}
	}
	if got := m.duplicates("old", 50); got != 0 {
		t.Errorf("older ids: got %d duplicates, want 0", got)
	}
}

// TestBudget wants a seeding that takes too long to end clean, and to say what it left out.
func TestBudget(t *testing.T) {
	const n = 20_000
	m := single(t).mirror(t, "BUDGET", nil, nil, func(m *mirrored) { m.publishAsync(n) })
	before := m.state()
	m.promote(nil)
	acc := m.seed(dedup.Job{Budget: 5 * time.Millisecond})
	if acc.LeftOut == 0 || acc.Seeded+acc.LeftOut != n || !strings.Contains(acc.Why, "5ms") {
		t.Errorf("got %+v, want some left out", acc)
	}
	if after := m.state(); after.Msgs != before.Msgs || !maps.Equal(after.Subjects, before.Subjects) {
		t.Errorf("what the stream holds: got %+v, want %+v", after, before)
	}
}

// TestWindow wants ids of the window only: back from the newest message, or from when the origin went.
func TestWindow(t *testing.T) {
	p := single(t)
	var first, second, now time.Time
	m := p.mirror(t, "WINDOW", nil, nil, func(m *mirrored) {
		m.publish("a", 10)
		first = m.must(p.conn.Info(within(t), "WINDOW")).State.LastTime
		eventually(t, "some time", func() bool { return time.Since(first) > 200*time.Millisecond })
		m.publish("b", 10)
		info := m.must(p.conn.Info(within(t), "WINDOW"))
		second, now = info.State.LastTime, info.Time
	})
	m.promote(nil)
	apart := second.Sub(first)
	idle := now.Sub(second)
	for _, c := range []struct {
		name   string
		window time.Duration
		outage time.Duration
		want   int
	}{
		{"none in the window", 0, 0, 20}, // the stream's own two minutes
		{"the newer half", apart / 2, 0, 10},
		{"all of it", apart + time.Second, 0, 20},
		{"the origin lived on", apart + time.Second, time.Nanosecond, 20},
		{"idle for longer than the window", max(idle, 1), time.Nanosecond, 0},
		{"gone before the newest message", apart / 2, time.Hour, 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			if acc := m.seed(dedup.Job{Window: c.window, Outage: c.outage}); acc.Seeded+acc.Known != c.want {
				t.Errorf("got %+v, want %d ids", acc, c.want)
			}
		})
	}
}

// TestNotParked wants no message in a stream that is not promoted, or is bound.
func TestNotParked(t *testing.T) {
	p := single(t)
	m := p.mirror(t, "EARLY", nil, nil, func(m *mirrored) { m.publish("a", 10) })
	job := dedup.Job{Member: m.member, MaxIDs: 10}
	if _, err := dedup.Seed(within(t), p.conn, job); !errors.Is(err, dedup.ErrNotParked) {
		t.Errorf("a mirror: got %v, want ErrNotParked", err)
	}
	m.promote(nil)
	m.bind()
	if _, err := dedup.Seed(within(t), p.conn, job); !errors.Is(err, dedup.ErrNotParked) {
		t.Errorf("bound: got %v, want ErrNotParked", err)
	}
	if got := m.state(); got.LastSeq != 10 {
		t.Errorf("last sequence: got %d, want 10", got.LastSeq)
	}
}

// TestEmptyStream wants nothing to happen where nothing is held.
func TestEmptyStream(t *testing.T) {
	m := single(t).mirror(t, "EMPTY", nil, nil, func(*mirrored) {})
	m.promote(nil)
	if acc := m.seed(dedup.Job{}); acc.Seeded != 0 || acc.Skipped != "" || acc.Burned != 0 {
		t.Errorf("got %+v, want nothing", acc)
	}
}
