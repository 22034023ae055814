package probe

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

// control is the question beside the questions: does the API of a site answer at all, whatever the stream? It is asked
// at most once a pass, and only when somebody wants to know.
type control struct {
	site   *site
	once   sync.Once
	wanted chan struct{}
	done   chan struct{}
	// Valid once done is closed:
	err   error
	epoch uint64        // of the connection that was asked
	took  time.Duration // until the answer, or until the pass was over
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
	began := time.Now()
	c.epoch = c.site.conn.Epoch()
	c.err = c.site.askAPI(ctx)
	c.took = time.Since(began)
	o.answered(c.err)
}

// moveOn has a site asked through another of its servers from the next pass on, when the one asked now has let both a
// member's question and the control question pass unanswered: one sick server must not go for the silence of its site.
func (o *Observer) moveOn(p *pass, t target, a path, l seen) {
	if a.via != t.own || l.Evidence != policy.Timeout {
		return
	}
	c := p.controls[t.own]
	if err := c.answer(); !errors.Is(err, jsapi.ErrTimeout) || c.took < p.plan.patience() {
		return
	}
	if c.site.conn.Move(c.epoch) {
		o.o.Log.Debug("site silent, another of its servers is tried", "site", c.site.entry.Site)
	}
}
