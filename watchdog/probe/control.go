package probe

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

// control is the question beside the questions: does the API of a site answer at all, whatever the stream? It is asked
// at most once a pass, and only when somebody wants to know.
type control struct {
	site   *site
	once   sync.Once
	wanted chan struct{}
	done   chan struct{}
	err    error // valid once done is closed
}

var errNotAsked = errors.New("not asked")

func newControl(s *site) *control {
	return &control{site: s, wanted: make(chan struct{}), done: make(chan struct{}), err: errNotAsked}
}

// want has the question asked, and does not wait for the answer.
func (c *control) want() { c.once.Do(func() { close(c.wanted) }) }

// answer waits for the answer, no longer than the pass lasts: nil when the API serves.
func (c *control) answer() error {
	c.want()
	<-c.done
	return c.err
}

// serve asks once it is wanted, until the pass is over.
func (o *Observer) serve(ctx context.Context, c *control, over <-chan struct{}) {
	defer close(c.done)
	if _, fresh := c.site.apiLevel(); !fresh && c.site.conn.Connected() {
		c.want()
	}
	select {
	case <-c.wanted:
	case <-over:
		return
	}
	c.err = c.site.askAPI(ctx)
	o.answered(c.err)
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

// askForSigns makes sure, while there is time, that somebody was heard of since the looks that found a member down. It
// returns at the first sign; what it started is in started.
func (o *Observer) askForSigns(ctx context.Context, p *pass, started *sync.WaitGroup) {
	o.mu.Lock()
	doubt := p.doubt
	o.mu.Unlock()
	if doubt.IsZero() || o.heardSince(doubt) {
		return
	}
	asked := make(chan struct{}, len(p.plan.sites))
	for _, s := range p.plan.sites {
		started.Go(func() {
			o.answered(s.conn.Ping(ctx))
			asked <- struct{}{}
		})
	}
	for range p.plan.sites {
		if <-asked; o.heardSince(doubt) {
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
