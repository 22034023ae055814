package jsapi

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	bulkConnect = 3 * time.Second  // to one server
	bulkFlush   = 10 * time.Second // one write into a full socket
	bulkPing    = 5 * time.Second
)

// DialBulk connects for one job that moves many messages. As with DialOnce the connection is made once, and what it
// could not send at once it never sends; but it is patient with a slow link, which a connection that must notice a
// silent server within a second cannot be. The caller closes it. Errors match ErrAuth, ErrOverloaded or ErrDisconnected.
func DialBulk(ctx context.Context, l Login) (*nats.Conn, error) {
	if len(l.Servers) == 0 {
		return nil, fmt.Errorf("%w: no server configured", ErrAuth)
	}
	var failed []error
	for i := range l.Servers {
		server := l.Servers[(l.first()+i)%len(l.Servers)]
		nc, err := dialBulk(ctx, l, server)
		if err == nil {
			return nc, nil
		}
		failed = append(failed, fmt.Errorf("connect to %s: %w", redact(server), connectError(err)))
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(failed...)
}

func dialBulk(ctx context.Context, l Login, server string) (*nats.Conn, error) {
	opts, err := l.options()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAuth, err)
	}
	dial, keep := dialer(ctx, bulkConnect)
	opts = append(opts,
		nats.SetCustomDialer(dial), nats.SkipHostLookup(), nats.Timeout(bulkConnect),
		nats.NoReconnect(), nats.IgnoreDiscoveredServers(), nats.ReconnectBufSize(-1),
		nats.PingInterval(bulkPing), nats.MaxPingsOutstanding(2), nats.FlusherTimeout(bulkFlush),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), // the request that it belongs to fails, too
	)
	nc, err := nats.Connect(server, opts...)
	if err != nil {
		return nil, err
	}
	if !keep() { // cancelled in the very moment
		nc.Close()
		return nil, context.Cause(ctx)
	}
	return nc, nil
}
