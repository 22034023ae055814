package jsapi

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// askAgainWithin limits the connect that finds out why a server hung up.
	askAgainWithin = 500 * time.Millisecond
	// lostPatience is how long a request that lost its connection waits for the reason, which mostly takes a millisecond.
	lostPatience = 2 * askAgainWithin
)

// lose finds out why a connection ended, and tells it to those who wait for that.
func (c *Conn) lose(ctx context.Context, l *link) {
	err := connectError(l.reason(l.nc.LastError()))
	if c.moves != nil && errors.Is(err, ErrDisconnected) && !errors.Is(err, nats.ErrStaleConnection) {
		err = c.askAgain(ctx, l.place, err)
	}
	c.down(err)
	l.tell(err)
}

// askAgain returns how a server that hung up refuses us, or else err. What it said before is lost when it met something
// that we just sent; and a refused login must not go for a lost site.
func (c *Conn) askAgain(ctx context.Context, place int, err error) error {
	ctx, cancel := context.WithTimeout(ctx, askAgainWithin)
	defer cancel()
	l, refusal := c.connect(ctx, c.o.Login.Servers[place], min(askAgainWithin, c.o.ConnectTimeout))
	if refusal != nil {
		if refusal = connectError(refusal); !errors.Is(refusal, ErrDisconnected) {
			return refusal
		}
		return err
	}
	l.nc.Close()
	<-l.closed
	return err
}

// tell says why the link is no more. It is called once.
func (l *link) tell(why error) {
	l.why = why
	close(l.told)
}

// lostWith says why a request lost its connection. The client wakes its requests before anybody knows that.
func (l *link) lostWith(err error) error {
	t := time.NewTimer(lostPatience)
	defer t.Stop()
	select {
	case <-l.told:
		return l.why
	case <-t.C:
		return l.reason(err)
	}
}

// reason says why the connection ended: err, and the client's word for it, are mostly the closed socket that follows the
// server's refusal.
func (l *link) reason(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refused != nil {
		return l.refused
	}
	if last := l.nc.LastError(); last != nil && !errors.Is(err, last) {
		return fmt.Errorf("%w: %w", err, last)
	}
	return err
}
