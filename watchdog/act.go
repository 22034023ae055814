package watchdog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/failover"
)

// decide is the policy's word on one stream now.
func (t *term) decide(name string) policy.Action {
	return policy.Decide(t.s.Rules(), t.s.Hash(), t.s.o.Config.Node, t.s.replica.State(), name)
}

// sideBySide is how many streams are acted on together: each costs a commit or two, and the log batches those that wait.
const sideBySide = 64

// act carries out the decisions on the streams. What begins, begins site after site, in the order of the streams'
// priority, so that the storm brake sees the sites that were begun before.
func (t *term) act(ctx context.Context, names []string) error {
	var mu sync.Mutex
	begins, rules := map[string][]string{}, t.s.Rules()
	err := each(names, func(name string) error {
		a := t.decide(name)
		if err := t.logDecision(ctx, name, a); err != nil {
			return err
		}
		switch a.Kind {
		case policy.ActBegin:
			mu.Lock()
			begins[a.Attempt.From.Site] = append(begins[a.Attempt.From.Site], name)
			mu.Unlock()
		case policy.ActStep:
			t.step(ctx, name)
		}
		t.repair(ctx, name)
		t.care(ctx, name)
		t.sources(ctx, name)
		t.spares(ctx, name)
		return nil
	})
	for _, name := range rules.StreamNames() {
		for site, of := range begins {
			if slices.Contains(of, name) {
				delete(begins, site)
				err = errors.Join(err, each(of, func(name string) error { return t.begin(ctx, name) }))
			}
		}
	}
	return err
}

// each calls f for all names, some of them side by side, and returns when all calls have.
func each(names []string, f func(string) error) error {
	var wg sync.WaitGroup
	slots, errs := make(chan struct{}, sideBySide), make([]error, len(names))
	for i, name := range names {
		slots <- struct{}{}
		wg.Go(func() {
			errs[i] = f(name)
			<-slots
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// begin commits the attempt before anything is written, and only where this leader can carry it out: one that does
// not reach the target hands leadership to a watchdog that does. What began since the decision counts.
func (t *term) begin(ctx context.Context, name string) error {
	a := t.decide(name)
	if a.Kind != policy.ActBegin {
		return nil // the next round says why
	}
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
		return fmt.Errorf("begin failover of %s: %w", name, err)
	}
	t.step(ctx, name)
	return nil
}

// handOver passes leadership to a watchdog that has just seen a member.
func (t *term) handOver(ctx context.Context, name string, id policy.MemberID) error {
	seen := t.s.replica.State().Streams[name].Round.Members[id.String()].SeenBy
	i := slices.IndexFunc(seen, func(n string) bool { return n != t.s.o.Config.Node })
	if i < 0 {
		t.s.log.Warn("this leader does not reach a member, and no other watchdog does", "stream", name, "member", id.String())
		return nil
	}
	t.s.log.Warn("this leader does not reach a member that another watchdog does; handing over", "stream", name, "member", id.String(), "to", seen[i])
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
		if id, ok := outOfReach(st); ok && ctx.Err() == nil && !t.hands.Reaches(ctx, id) {
			if err := t.handOver(ctx, name, id); err != nil && ctx.Err() == nil {
				t.s.log.Warn("hand-over failed", "error", err)
			}
		}
	})
}

// outOfReach is the member for which a running attempt waits, since this leader does not reach it.
func outOfReach(st policy.StreamState) (policy.MemberID, bool) {
	a := st.Attempt
	if a == nil {
		return policy.MemberID{}, false
	}
	switch a.Waiting.Code {
	case policy.TargetUnreachable:
		return a.Target, true
	case policy.SeenUpBy:
		return a.From, true
	}
	return policy.MemberID{}, false
}

// passOnAfter is how long a term lasts at least before it is passed on for a repair that waits: two members that
// no watchdog reaches both must not make leadership go to and fro at once.
const passOnAfter = 10 * time.Second

// passOn hands leadership to a watchdog that reaches a member which must be put back, unless a failover runs.
func (t *term) passOn(ctx context.Context, name string, id policy.MemberID) error {
	for _, st := range t.s.replica.State().Streams {
		if st.Attempt != nil {
			return nil
		}
	}
	if time.Since(t.began) < passOnAfter {
		return nil
	}
	return t.handOver(ctx, name, id)
}

// repair gives every member that is not what the log wants a worker, and one to every former primary that is to be fenced when it
// is back.
func (t *term) repair(ctx context.Context, name string) {
	sr, ok := t.s.Rules().Streams[name]
	if !ok {
		return
	}
	s := t.s.replica.State()
	work := func(id policy.MemberID, do func() error) {
		t.worker(name+" "+id.String(), func() {
			err := do()
			if errors.Is(err, failover.ErrUnreached) {
				err = t.passOn(ctx, name, id)
			}
			if err != nil && ctx.Err() == nil {
				t.s.log.Warn("repair not finished", "stream", name, "member", id.String(), "error", err)
			}
		})
	}
	for _, id := range policy.Debts(s, sr) {
		work(id, func() error { return t.hands.Repair(ctx, name, id) })
	}
	for _, id := range policy.Awaited(s, sr) {
		work(id, func() error {
			back, err := t.hands.Guard(ctx, sr, id)
			if back && err == nil {
				t.soon(name) // its fence is read back
			}
			return err
		})
	}
}

// care gives every member that is in want of it a worker.
func (t *term) care(ctx context.Context, name string) {
	sr, ok := t.s.Rules().Streams[name]
	if !ok {
		return
	}
	for _, id := range policy.Cares(t.s.replica.State(), sr) {
		t.worker(name+" care of "+id.String(), func() {
			err := t.hands.Care(ctx, sr, id)
			if errors.Is(err, failover.ErrUnreached) {
				err = t.passOn(ctx, name, id)
			}
			if err != nil && ctx.Err() == nil {
				t.s.log.Warn("care not finished", "stream", name, "member", id.String(), "error", err)
			}
		})
	}
}

// sources gives the streams that source from a replaced primary a worker.
func (t *term) sources(ctx context.Context, name string) {
	rules := t.s.Rules()
	if work := policy.SourcesDue(t.s.replica.State(), rules, name); len(work.Sites)+len(work.Streams) == 0 {
		return
	}
	t.worker(name+" sources", func() {
		if err := t.hands.Sources(ctx, rules, name); err != nil && ctx.Err() == nil {
			t.s.log.Warn("sources not finished", "stream", name, "error", err)
		}
	})
}

// spares gives every spare copy that is not needed any more a worker.
func (t *term) spares(ctx context.Context, name string) {
	for _, s := range policy.SparesDue(t.s.replica.State(), name) {
		t.worker(name+" spare "+s.ID.String(), func() {
			if err := t.hands.Spare(ctx, name, s.ID); err != nil && ctx.Err() == nil {
				t.s.log.Warn("spare copy not deleted", "stream", name, "member", s.ID.String(), "error", err)
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
