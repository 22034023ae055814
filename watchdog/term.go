package watchdog

import (
	"context"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/election"
	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/failover"
	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

// term is one leadership term: everything that a leader does, and nothing that outlives it.
type term struct {
	s         *service
	number    uint64
	round     uint64
	began     time.Time
	hands     *failover.Hands
	collector *collector
	last      map[string]roundTimes // by stream
	alarm     map[string]time.Time  // by site: when a primary there was first seen down
	journal   *journal

	work    sync.WaitGroup
	mu      sync.Mutex
	working map[string]bool      // streams and members with a worker
	sooner  map[string]time.Time // by stream: when something was done that a round is to see at once
	woken   chan struct{}        // there is a new one
}

// roundTimes are the monotonic times of a stream's rounds in this term: when the newest began, when it was made of the
// reports, and the same of the newest one that was up.
type roundTimes struct{ began, made, up time.Time }

// lead runs one term: rounds at the pace of the streams' intervals, and what the policy makes of them. It returns when
// the term is over and everything that it started has ended.
func (s *service) lead(ctx context.Context, et election.Term) error {
	ctx, cancel := context.WithCancel(ctx)
	t := &term{s: s, number: et.Number, began: time.Now(), last: map[string]roundTimes{}, alarm: map[string]time.Time{},
		working: map[string]bool{}, sooner: map[string]time.Time{}, woken: make(chan struct{}, 1)}
	t.collector = newCollector(s)
	t.journal = newJournal(s, et.Number)
	t.hands = failover.New(failover.Options{
		Node: s.o.Config.Node, Logins: func() map[string]jsapi.Login { return siteLogins(s.Config()) }, Timeout: handsTimeout(s.Config().Probe.Timeout),
		Journal: t.journal, Decide: t.decide, Log: s.log.With("part", "failover", "term", et.Number),
		Consumers: func(ctx context.Context, stream string, id policy.MemberID) (policy.ConsumerSnapshot, bool) {
			return s.newestConsumers(ctx, stream, id, consumersPatience)
		},
	})
	l := s.setLive(newLive(t.journal, t.hands.Progress))
	s.log.Info("leading", "term", et.Number)
	defer func() {
		cancel()
		t.hands.Close()
		t.work.Wait()
		t.collector.wait()
		t.journal.close()
		s.clearLive(l)
		s.log.Info("no longer leading", "term", et.Number)
	}()
	return t.run(ctx, l)
}

// handsTimeout is how long a write to a living member may take: longer than a probe, since a slow success is better
// than an unknown outcome.
func handsTimeout(probe time.Duration) time.Duration { return max(2*probe, 2*time.Second) }

func (t *term) run(ctx context.Context, l *live) error {
	tick := time.NewTimer(0)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case name := <-l.kicked:
			if err := t.act(ctx, []string{name}); err != nil {
				return t.survivable(ctx, "act", err)
			}
			continue
		case <-tick.C:
		case <-t.woken:
		}
		if names, _ := t.due(time.Now()); len(names) > 0 {
			if err := t.oneRound(ctx, l, names); err != nil {
				return err
			}
		}
		t.s.pulse.beat()
		_, rest := t.due(time.Now())
		tick.Reset(rest)
	}
}

// overridePace is how soon a stream is looked at when a person asks to fail it over, whatever its interval.
const overridePace = time.Second

// due lists the streams whose time has come, and the time until that of the next one does: 0 when there are any.
func (t *term) due(now time.Time) (names []string, rest time.Duration) {
	rules, state := t.s.Rules(), t.s.replica.State()
	rest = time.Second
	for _, name := range rules.StreamNames() {
		st, last := state.Stream(rules.Streams[name]), t.last[name]
		every := pace(rules.Streams[name], st)
		if len(state.Unanswered(name)) > 0 {
			every = min(every, overridePace)
		}
		since := now.Sub(last.began)
		if since >= every-every/10 || t.alarm[st.Primary.Site].After(last.began) || t.wanted(name).After(last.began) {
			names = append(names, name)
			since = every
		}
		rest = min(rest, every-since)
	}
	return names, rest
}

// soon asks for a round of a stream now, at most once a second: what the rounds do not see must not drive them.
func (t *term) soon(name string) {
	t.mu.Lock()
	again := time.Since(t.sooner[name]) < overridePace
	if !again {
		t.sooner[name] = time.Now()
	}
	t.mu.Unlock()
	if again {
		return
	}
	select {
	case t.woken <- struct{}{}:
	default:
	}
}

func (t *term) wanted(name string) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sooner[name]
}

// pace is the time between two rounds of a stream: its interval, or less when its threshold, or fence.after before it,
// passes within it, so that a decision is not late by a whole interval.
func pace(sr policy.StreamRules, st policy.StreamState) time.Duration {
	rest := sr.Threshold - st.Clock.Outage
	if ahead := sr.FenceAfter - st.Clock.Outage; ahead > 0 {
		rest = min(rest, ahead)
	}
	waits := st.Attempt == nil || st.Attempt.Kind == policy.KindFence
	if waits && st.Round.Agreement == policy.AgreedDown && rest > 0 && rest < sr.Interval {
		return max(rest, sr.Interval/10)
	}
	return sr.Interval
}
