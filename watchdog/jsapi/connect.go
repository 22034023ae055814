package jsapi

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// connectAny tries n servers once, in their order from a place on. A refused login is the error that is told, whatever
// the other servers did. Each gets its share of the time that ctx leaves, so that a silent one does not use up all.
func (c *Conn) connectAny(ctx context.Context, first, n int) (*link, error) {
	servers := c.o.Login.Servers
	if len(servers) == 0 {
		return nil, fmt.Errorf("%w: no server configured", ErrAuth)
	}
	var worst error
	for i := range n {
		place := (first + i) % len(servers)
		l, err := c.connect(ctx, servers[place], c.share(ctx, n-i))
		if err == nil {
			l.place = place
			return l, nil
		}
		err = fmt.Errorf("connect to %s: %w", redact(servers[place]), connectError(err))
		if worst == nil || !errors.Is(err, ErrDisconnected) && errors.Is(worst, ErrDisconnected) {
			worst = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, worst
}

// share is how long a connect may take when n servers have yet to be tried.
func (c *Conn) share(ctx context.Context, n int) time.Duration {
	end, limited := ctx.Deadline()
	if !limited {
		return c.o.ConnectTimeout
	}
	return min(c.o.ConnectTimeout, max(time.Until(end)/time.Duration(n), time.Millisecond))
}

func (c *Conn) connect(ctx context.Context, server string, timeout time.Duration) (*link, error) {
	l := &link{closed: make(chan struct{}), told: make(chan struct{})}
	opts, err := c.o.Login.options()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAuth, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	dial, keep := dialer(ctx, timeout)
	opts = append(opts,
		nats.SetCustomDialer(dial), nats.SkipHostLookup(), nats.Timeout(timeout),
		nats.NoReconnect(), nats.IgnoreDiscoveredServers(), nats.ReconnectBufSize(-1),
		nats.PingInterval(c.o.PingInterval), nats.MaxPingsOutstanding(2),
		// A full socket must not hold the connection's lock for the client's default of a minute.
		nats.FlusherTimeout(500*time.Millisecond), nats.ReconnectOnFlusherError(),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { l.asyncError(err) }),
		nats.ClosedHandler(func(*nats.Conn) { close(l.closed) }),
	)
	nc, err := nats.Connect(server, opts...)
	if err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", err, context.Cause(ctx))
		}
		return nil, err
	}
	if !keep() { // cancelled in the very moment
		nc.Close()
		return nil, context.Cause(ctx)
	}
	l.nc = nc
	ready, cancelReady := context.WithTimeout(ctx, timeout)
	defer cancelReady()
	if err := l.checkInbox(ready); err != nil {
		nc.Close()
		<-l.closed
		return nil, l.reason(err)
	}
	return l, nil
}

// asyncError takes what the server says outside of any answer.
func (l *link) asyncError(err error) {
	if errors.Is(err, nats.ErrPermissionViolation) {
		l.waiting.denied(err)
		return
	}
	if refusesLogin(err) {
		l.mu.Lock()
		l.refused = err
		l.mu.Unlock()
	}
}
