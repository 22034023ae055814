package probe

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

// signs finds out, within one pass, whether anybody lives out there, so that our own isolation is not taken for the
// outage of a member.
type signs struct {
	wg   sync.WaitGroup
	mu   sync.Mutex
	last *round
}

// round is one PING to every site.
type round struct {
	began time.Time
	done  chan struct{} // closed at the first sign of life, or when all have been silent
}

// aliveSince says whether anything was heard after doubt, and asks all sites before it says no.
func (o *Observer) aliveSince(ctx context.Context, p *pass, doubt time.Time) bool {
	for !o.heardSince(doubt) {
		r := o.askAll(ctx, p, doubt)
		<-r.done
		if !r.began.Before(doubt) {
			return o.heardSince(doubt)
		}
	}
	return true
}

// askAll returns the round that is under way, or that began after doubt, or else a new one: thousands of looks that fail
// together share one.
func (o *Observer) askAll(ctx context.Context, p *pass, doubt time.Time) *round {
	p.signs.mu.Lock()
	defer p.signs.mu.Unlock()
	if r := p.signs.last; r != nil {
		select {
		case <-r.done:
			if !r.began.Before(doubt) {
				return r
			}
		default:
			return r
		}
	}
	r := &round{began: time.Now(), done: make(chan struct{})}
	p.signs.last = r
	asked := make(chan struct{}, len(p.plan.sites))
	for _, s := range p.plan.sites {
		p.signs.wg.Go(func() {
			o.answered(s.conn.Ping(ctx))
			asked <- struct{}{}
		})
	}
	p.signs.wg.Go(func() {
		defer close(r.done)
		for range p.plan.sites {
			if <-asked; o.heardSince(r.began) {
				return
			}
		}
	})
	return r
}

// listen asks a site for a sign of life, and again while the pass lasts: one that is silent shows only by then whether
// it is alone in that.
func (o *Observer) listen(ctx context.Context, s *site, again time.Duration, over <-chan struct{}) {
	t := time.NewTicker(max(again, time.Millisecond))
	defer t.Stop()
	for {
		o.answered(s.conn.Ping(ctx))
		select {
		case <-t.C:
		case <-over:
			return
		case <-ctx.Done():
			return
		}
	}
}

// answered notes that somebody lives out there, if that is what an error shows: a refusal and "no responders" do, and
// so does nil.
func (o *Observer) answered(err error) {
	for _, silence := range []error{
		jsapi.ErrTimeout, jsapi.ErrDisconnected, jsapi.ErrConnecting, jsapi.ErrAuth, context.Canceled,
	} {
		if errors.Is(err, silence) {
			return
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.heard = time.Now()
}

func (o *Observer) heardSince(t time.Time) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.heard.After(t)
}
