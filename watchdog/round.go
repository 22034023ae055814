package watchdog

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/understudy-ha/understudy/election"
	"github.com/understudy-ha/understudy/policy"
)

// maxRound is how many bytes of rounds one command carries: the log takes commands of up to 1 MiB, and a long one holds
// up the heartbeats.
const maxRound = 256 << 10

// oneRound looks, logs what is worth it, decides and acts.
func (t *term) oneRound(ctx context.Context, l *live, names []string) error {
	t.round++
	probe, began := t.s.Config().Probe.Timeout, time.Now()
	t.collector.collect(ctx, reportRequest{Term: t.number, Round: t.round, Streams: names}, probe+probe/2)
	if ctx.Err() != nil {
		return nil
	}
	rounds := t.merge(l, names, began)
	l.heard(t.collector.newest(), t.number, t.round)
	for _, c := range t.worthLogging(rounds) {
		if err := t.journal.Propose(ctx, policy.Command{Round: c}); err != nil {
			return t.survivable(ctx, "round", err)
		}
	}
	l.set(rounds) // not before the log has them: the status must not run ahead of what is decided by
	if err := t.act(ctx, names); err != nil {
		return t.survivable(ctx, "act", err)
	}
	return nil
}

// merge makes the streams' rounds of the reports, and keeps their times.
func (t *term) merge(l *live, names []string, began time.Time) map[string]policy.StreamRound {
	rules, state, now := t.s.Rules(), t.s.replica.State(), time.Now()
	rounds := map[string]policy.StreamRound{}
	for _, name := range names {
		sr, ok := rules.Streams[name]
		if !ok {
			continue
		}
		st, times := state.Stream(sr), t.last[name]
		r := policy.Merge(rules, st, sr, t.number, t.round, t.collector.of(name))
		if !times.made.IsZero() {
			r.Elapsed = now.Sub(times.made)
		}
		if !times.up.IsZero() {
			r.SinceUp = now.Sub(times.up)
		}
		times.began, times.made = began, now
		if r.Agreement == policy.AgreedUp {
			times.up = now
		}
		t.last[name], rounds[name] = times, r
		if before, _ := l.round(name); r.Agreement == policy.AgreedDown && before.Agreement != policy.AgreedDown {
			t.alarm[st.Primary.Site] = now // the site's other streams are looked at at once
		}
	}
	return rounds
}

// worthLogging puts the rounds that the log must have into commands, none of them too long.
func (t *term) worthLogging(rounds map[string]policy.StreamRound) []*policy.RoundCommand {
	rules, state := t.s.Rules(), t.s.replica.State()
	var list []*policy.RoundCommand
	size := maxRound
	for _, name := range sortedNames(rounds) {
		sr, r := rules.Streams[name], rounds[name]
		if !policy.Worth(state, sr, r) {
			continue
		}
		n := roundSize(r)
		if size+n > maxRound {
			list = append(list, &policy.RoundCommand{Term: t.number, Number: t.round, Streams: map[string]policy.StreamRound{},
				Rules: map[string]policy.StreamRules{}, Intervals: map[string]time.Duration{}})
			size = 0
		}
		size += n
		c := list[len(list)-1]
		c.Streams[name], c.Intervals[name] = r, sr.Interval
		if _, known := state.Streams[name]; !known {
			c.Rules[name] = sr
		}
	}
	return list
}

// roundSize is about what a round takes in a command, its rules included.
func roundSize(r policy.StreamRound) int {
	const rest = 2 << 10
	b, err := json.Marshal(r)
	if err != nil {
		return rest // plain types: cannot happen
	}
	return len(b) + rest
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
