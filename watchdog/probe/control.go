package probe

import (
	"context"
	"errors"
	"sync"
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
