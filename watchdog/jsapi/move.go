package jsapi

import (
	"context"
	"sync"

	"github.com/nats-io/nats.go"
)

// Move asks for another server of the site in the place of the one that the connection made as epoch leads to: it is
// connected, but does not answer. Nothing happens when that connection is the live one no more, nor when no other server
// takes us: then the silent one is kept, so a move is never itself the loss of a site. It does not wait, and returns
// whether there is another server to try.
func (c *Conn) Move(epoch uint64) bool {
	if len(c.o.Login.Servers) < 2 {
		return false
	}
	select {
	case c.moves <- epoch:
		return true
	default: // one is asked for already, or this connection never moves
		return false
	}
}

// elsewhere connects to another server than that of l, and makes the new connection the live one; nil when l stays.
func (c *Conn) elsewhere(ctx context.Context, l *link, epoch uint64) *link {
	if l.epoch != epoch {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	var watch sync.WaitGroup
	defer watch.Wait()
	defer cancel()
	watch.Go(func() {
		select {
		case <-l.closed: // its loss is to be told, and not after some connects that time out
			cancel()
		case <-ctx.Done():
		}
	})
	next, err := c.connectAny(ctx, l.place+1, len(c.o.Login.Servers)-1)
	if err != nil {
		return nil
	}
	c.goLive(next)
	return next
}

// leave closes a connection that is live no more, as soon as no request is under way on it: their silence is to be
// theirs, and not of our making. ctx ends the wait.
func (l *link) leave(ctx context.Context) {
	select {
	case <-l.waiting.leave():
	case <-l.closed:
	case <-ctx.Done():
	}
	l.nc.Close()
	<-l.closed
	l.tell(connectError(l.reason(nats.ErrConnectionClosed)))
}
