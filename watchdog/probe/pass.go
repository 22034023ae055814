package probe

import (
	"context"
	"sync"
	"sync/atomic"
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
}

func newPass(streams []string) *pass {
	return &pass{streams: streams, done: make(chan struct{}), controls: map[*site]*control{}}
}

// run probes until all members are looked at. Each site has its own workers, so that one which stalls delays no other.
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

// lookByInfo is the way of looking that asks STREAM.INFO for each member. It is given all members of one site, as any
// other way (by STREAM.LIST, when there are thousands) will be.
func (o *Observer) lookByInfo(ctx context.Context, p *pass, targets []target) {
	var wg sync.WaitGroup
	var next atomic.Int64
	for range min(len(targets), o.o.Concurrency) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(targets)); i = next.Add(1) - 1 {
				if ctx.Err() != nil {
					return // silence about a question never asked is no evidence
				}
				o.lookAt(ctx, p, targets[i])
			}
		})
	}
	wg.Wait()
}
