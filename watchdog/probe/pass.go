package probe

import (
	"context"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/policy"
)

// pass is one probe of some streams.
type pass struct {
	streams []string // nil: all
	done    chan struct{}
	stamp
	plan     *plan
	controls map[*site]*control
	signs    signs
}

// target is one member to be looked at.
type target struct {
	stream string
	id     policy.MemberID
	own    *site
	others []*site
	last   time.Time // when the pass that looked at it last began
}

func newPass(streams []string) *pass {
	return &pass{streams: streams, done: make(chan struct{}), controls: map[*site]*control{}}
}

// run probes until all members are looked at. Each site has its own gates, so that one which stalls delays no other.
func (o *Observer) run(ctx context.Context, p *pass) {
	if p.plan == nil {
		close(p.done)
		return
	}
	ctx, cancel := context.WithDeadline(ctx, p.began.Add(askFor(p.plan.config.Timeout)))
	defer cancel()
	var looks sync.WaitGroup
	over := make(chan struct{})
	for _, s := range p.plan.sites {
		c := newControl(s)
		p.controls[s] = c
		p.signs.wg.Go(func() { o.listen(ctx, s, p.plan.patience(), over) })
		p.signs.wg.Go(func() { o.serve(ctx, c, over) })
	}
	for _, targets := range o.targets(p) {
		looks.Go(func() { o.lookByInfo(ctx, p, targets) })
	}
	looks.Wait()
	close(over)
	close(p.done)
	p.signs.wg.Wait()
}

// askFor is the part of a probe's time in which questions may be answered; the rest is for gathering.
func askFor(timeout time.Duration) time.Duration {
	return timeout - min(timeout/10, 50*time.Millisecond)
}

// gate lets a limited number of looks through at once. A look leaves it when its question is answered or late, so that
// members which never answer keep nobody out for longer than patience.
type gate chan struct{}

// enter waits for room; false when ctx ends first, or so soon that a question would not have the time it needs:
// silence about a question never asked, or asked too late, is no evidence.
func (g gate) enter(ctx context.Context, needs time.Duration) bool {
	if end, limited := ctx.Deadline(); limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, end.Add(-needs))
		defer cancel()
	}
	if ctx.Err() != nil {
		return false
	}
	select {
	case g <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (g gate) leave() { <-g }

// gates are the two that each look at the members of one site goes through: to ask there, and to ask through others.
type gates struct{ own, others gate }

// lookByInfo is the way of looking that asks STREAM.INFO for each member. It is given all members of one site, as any
// other way (by STREAM.LIST, when there are thousands) will be.
func (o *Observer) lookByInfo(ctx context.Context, p *pass, targets []target) {
	var wg sync.WaitGroup
	defer wg.Wait()
	n := min(len(targets), o.o.Concurrency)
	g := gates{own: make(gate, n), others: make(gate, n)}
	for _, t := range targets {
		if !g.own.enter(ctx, 0) {
			return // healthy members answer at once, so these ask until the very end
		}
		wg.Go(func() { o.lookAt(ctx, p, t, g) })
	}
}
