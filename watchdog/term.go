package watchdog

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	hands     *failover.Hands
	collector *collector
	last      map[string]roundTimes // by stream
	journal   *journal

	work    sync.WaitGroup
	mu      sync.Mutex
	working map[string]bool // streams and members with a worker
}

// roundTimes are the monotonic times of a stream's rounds in this term.
type roundTimes struct{ round, up time.Time }

// lead runs one term: rounds at the pace of the streams' intervals, and what the policy makes of them. It returns when
// the term is over and everything that it started has ended.
func (s *service) lead(ctx context.Context, et election.Term) error {
	ctx, cancel := context.WithCancel(ctx)
	t := &term{s: s, number: et.Number, last: map[string]roundTimes{}, working: map[string]bool{}}
	t.collector = newCollector(s)
	t.journal = newJournal(s, et.Number)
	t.hands = failover.New(failover.Options{
		Node: s.o.Config.Node, Logins: func() map[string]jsapi.Login { return siteLogins(s.Config()) }, Timeout: handsTimeout(s.Config().Probe.Timeout),
		Journal: t.journal, Decide: t.decide, Log: s.log.With("part", "failover", "term", et.Number),
	})
	l := s.setLive(newLive(t.journal))
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
		case <-tick.C:
		}
		began := time.Now()
		due, rest := t.due(began)
		if len(due) > 0 {
			if err := t.oneRound(ctx, l, due); err != nil {
				return err
			}
		}
		t.s.pulse.beat()
		tick.Reset(max(rest-time.Since(began), 0))
	}
}

// due lists the streams whose interval has passed, and the time until the next one's has.
func (t *term) due(now time.Time) (names []string, rest time.Duration) {
	rules, state := t.s.Rules(), t.s.replica.State()
	rest = time.Second
	for _, name := range rules.StreamNames() {
		every := pace(rules.Streams[name], state.Streams[name])
		since := now.Sub(t.last[name].round)
		if since >= every-every/10 {
			names = append(names, name)
			since = 0
		}
		rest = min(rest, every-since)
	}
	return names, rest
}

// pace is the time between two rounds of a stream: its interval, or less when its threshold passes within it, so that
// a decision is not late by a whole interval.
func pace(sr policy.StreamRules, st policy.StreamState) time.Duration {
	rest := sr.Threshold - st.Clock.Outage
	if st.Attempt == nil && st.Round.Agreement == policy.AgreedDown && rest > 0 && rest < sr.Interval {
		return max(rest, sr.Interval/10)
	}
	return sr.Interval
}

// oneRound looks, logs what is worth it, decides and acts.
func (t *term) oneRound(ctx context.Context, l *live, names []string) error {
	t.round++
	rules := t.s.Rules()
	req := reportRequest{Term: t.number, Round: t.round, Streams: names}
	t.collector.collect(ctx, req, t.s.Config().Probe.Timeout+t.s.Config().Probe.Timeout/2)
	if ctx.Err() != nil {
		return nil
	}
	cmd := &policy.RoundCommand{Term: t.number, Number: t.round, Streams: map[string]policy.StreamRound{},
		Rules: map[string]policy.StreamRules{}, Intervals: map[string]time.Duration{}}
	state, rounds := t.s.replica.State(), map[string]policy.StreamRound{}
	for _, name := range names {
		sr, ok := rules.Streams[name]
		if !ok {
			continue
		}
		r := t.merge(rules, state, sr)
		rounds[name] = r
		if policy.Worth(state, sr, r) {
			cmd.Streams[name], cmd.Intervals[name] = r, sr.Interval
			if _, known := state.Streams[name]; !known {
				cmd.Rules[name] = sr
			}
		}
	}
	l.heard(t.collector.newest(), t.number, t.round)
	if len(cmd.Streams) > 0 {
		if err := t.journal.Propose(ctx, policy.Command{Round: cmd}); err != nil {
			return t.survivable(ctx, "round", err)
		}
	}
	l.set(rounds) // not before the log has them: the status must not run ahead of what is decided by
	for _, name := range names {
		if err := t.act(ctx, name); err != nil {
			return t.survivable(ctx, "act on "+name, err)
		}
	}
	return nil
}

// merge makes one stream's round, and keeps its times.
func (t *term) merge(rules policy.Rules, state policy.State, sr policy.StreamRules) policy.StreamRound {
	r := policy.Merge(rules, state.Stream(sr), sr, t.number, t.round, t.collector.of(sr.Name))
	now, times := time.Now(), t.last[sr.Name]
	if !times.round.IsZero() {
		r.Elapsed = now.Sub(times.round)
	}
	if !times.up.IsZero() {
		r.SinceUp = now.Sub(times.up)
	}
	times.round = now
	if r.Agreement == policy.AgreedUp {
		times.up = now
	}
	t.last[sr.Name] = times
	return r
}

// survivable ends the term only if it is over: a commit that failed once may succeed in the next round, and a leader
// that can commit nothing is made to step down by the election.
func (t *term) survivable(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil || errors.Is(err, election.ErrNotLeader) {
		return nil
	}
	t.s.log.Warn("round not finished", "what", what, "error", err)
	return nil
}

// decide is the policy's word on one stream now.
func (t *term) decide(name string) policy.Action {
	return policy.Decide(t.s.Rules(), t.s.Hash(), t.s.o.Config.Node, t.s.replica.State(), name)
}

// act carries out the decision on one stream.
func (t *term) act(ctx context.Context, name string) error {
	a := t.decide(name)
	if err := t.logDecision(ctx, name, a); err != nil {
		return err
	}
	switch a.Kind {
	case policy.ActBegin:
		return t.begin(ctx, name, a)
	case policy.ActStep:
		t.step(ctx, name)
	}
	t.repair(ctx, name)
	return nil
}

// begin commits the attempt before anything is written, and only where this leader can carry it out: one that does
// not reach the target hands leadership to a watchdog that does.
func (t *term) begin(ctx context.Context, name string, a policy.Action) error {
	st := t.s.replica.State().Streams[name]
	if !t.hands.Reaches(ctx, a.Attempt.Target) {
		return t.handOver(ctx, name, a.Attempt.Target)
	}
	b := &policy.BeginCommand{Stream: name, Term: st.Clock.Term, Round: st.Clock.Round, Attempt: *a.Attempt}
	err := t.journal.Propose(ctx, policy.Command{Begin: b})
	if errors.Is(err, policy.ErrRefused) {
		t.s.log.Warn("failover not begun", "stream", name, "error", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	t.step(ctx, name)
	return nil
}

// handOver passes leadership to a watchdog that has just seen the target.
func (t *term) handOver(ctx context.Context, name string, target policy.MemberID) error {
	seen := t.s.replica.State().Streams[name].Round.Members[target.String()].SeenBy
	i := slices.IndexFunc(seen, func(n string) bool { return n != t.s.o.Config.Node })
	if i < 0 {
		return nil
	}
	t.s.log.Warn("this leader does not reach the target; handing over", "stream", name, "target", target.String(), "to", seen[i])
	if err := t.s.node.Transfer(ctx, seen[i]); err != nil {
		return fmt.Errorf("hand over to %s: %w", seen[i], err)
	}
	return nil
}

// step gives a running attempt a worker, unless it has one.
func (t *term) step(ctx context.Context, name string) {
	t.worker(name, func() {
		err := t.hands.Step(ctx, name)
		st := t.s.replica.State().Streams[name]
		if err != nil && ctx.Err() == nil {
			t.s.log.Warn("step not finished", "stream", name, "error", err)
		}
		if a := st.Attempt; a != nil && a.Waiting.Code == policy.TargetUnreachable && ctx.Err() == nil && !t.hands.Reaches(ctx, a.Target) {
			if err := t.handOver(ctx, name, a.Target); err != nil && ctx.Err() == nil {
				t.s.log.Warn("hand-over failed", "error", err)
			}
		}
	})
}

// repair gives every member that is not what the log wants a worker.
func (t *term) repair(ctx context.Context, name string) {
	sr, ok := t.s.Rules().Streams[name]
	if !ok {
		return
	}
	for _, id := range policy.Debts(t.s.replica.State(), sr) {
		t.worker(name+" "+id.String(), func() {
			if err := t.hands.Repair(ctx, name, id); err != nil && ctx.Err() == nil {
				t.s.log.Warn("repair not finished", "stream", name, "member", id.String(), "error", err)
			}
		})
	}
}

// worker runs f unless one with the same key runs already. The term waits for it.
func (t *term) worker(key string, f func()) {
	t.mu.Lock()
	busy := t.working[key]
	t.working[key] = true
	t.mu.Unlock()
	if busy {
		return
	}
	t.work.Go(func() {
		defer func() {
			t.mu.Lock()
			defer t.mu.Unlock()
			delete(t.working, key)
		}()
		f()
	})
}
