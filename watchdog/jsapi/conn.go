package jsapi

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// Options of a connection. Zero durations take the defaults.
type Options struct {
	Login Login
	// ConnectTimeout limits the connect to one server; default 1 s.
	ConnectTimeout time.Duration
	// ReconnectWait is the pause after all servers were tried, plus up to a half of it at random; default 200 ms.
	ReconnectWait time.Duration
	// PingInterval finds a silently cut connection when nobody asks anything, after three of them; default 1 s.
	PingInterval time.Duration
	// Changed, when set, hears each change of the state: nil when connected, else why not. Failures of the same kind, one
	// after the other, are one state. It must not block.
	Changed func(error)
}

func (o Options) withDefaults() Options {
	set := func(d *time.Duration, to time.Duration) {
		if *d <= 0 {
			*d = to
		}
	}
	set(&o.ConnectTimeout, time.Second)
	set(&o.ReconnectWait, 200*time.Millisecond)
	set(&o.PingInterval, time.Second)
	if o.Changed == nil {
		o.Changed = func(error) {}
	}
	return o
}

// Conn is a connection to one site. Its methods are safe for concurrent use, and fail at once while there is no
// connection.
//
// It reconnects by itself instead of leaving that to nats.go, whose reconnect holds the connection's lock while it
// dials: with a site that swallows packets, every call would wait for the dial. Each connection is used once, without
// a buffer that could send an old request later.
type Conn struct {
	o      Options
	live   atomic.Pointer[link]
	why    atomic.Pointer[error] // of the last disconnect; nil when there was none yet
	epoch  atomic.Uint64
	cancel context.CancelFunc
	done   chan struct{}
}

// link is one connection, from its connect to its end.
type link struct {
	nc      *nats.Conn
	epoch   uint64
	closed  chan struct{} // closed by the client's last callback
	waiting waiting
	mu      sync.Mutex
	refused error // a login error that the server sent before it closed
}

// Dial returns at once; the connection is made, and made again, in the background until Close.
func Dial(o Options) *Conn {
	ctx, cancel := context.WithCancel(context.Background())
	c := &Conn{o: o.withDefaults(), cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.run(ctx)
	}()
	return c
}

// DialOnce connects before it returns, and never again: for the connection that writes, which belongs to one
// leadership term. Done is closed when it is lost.
func DialOnce(ctx context.Context, o Options) (*Conn, error) {
	o = o.withDefaults()
	c := &Conn{o: o, done: make(chan struct{})}
	l, _, err := c.connectAny(ctx, 0)
	if err != nil {
		return nil, err
	}
	c.up(l)
	lifetime, cancel := context.WithCancel(context.Background())
	c.cancel = cancel
	go func() {
		defer close(c.done)
		c.hold(lifetime, l)
	}()
	return c, nil
}

// Close ends the connection, and returns when nothing of it runs any more.
func (c *Conn) Close() {
	c.cancel()
	<-c.done
}

// Done is closed when the connection will not come back: after Close, or when one made by DialOnce was lost.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Connected says whether there is a connection now.
func (c *Conn) Connected() bool { return c.live.Load() != nil }

// Epoch counts the connections made: what was learned through an older one may have changed with the server.
func (c *Conn) Epoch() uint64 { return c.epoch.Load() }

// LastError says why there is no connection: ErrConnecting, ErrAuth, ErrOverloaded or ErrDisconnected; nil while there
// is one.
func (c *Conn) LastError() error {
	if c.Connected() {
		return nil
	}
	return c.lost()
}

// lost says why there was no connection a moment ago; never nil, although there may be one again.
func (c *Conn) lost() error {
	if why := c.why.Load(); why != nil {
		return *why
	}
	return ErrConnecting
}

// Domain is the JetStream domain that is asked.
func (c *Conn) Domain() string { return c.o.Login.Domain }

func (c *Conn) run(ctx context.Context) {
	next := 0
	for ctx.Err() == nil {
		began := time.Now()
		l, i, err := c.connectAny(ctx, next)
		if err == nil {
			next = i + 1 // whatever ends this connection, another server is the better try
			c.up(l)
			c.hold(ctx, l)
		} else {
			c.down(err)
		}
		if time.Since(began) < 2*c.o.ReconnectWait || err != nil {
			pause(ctx, c.o.ReconnectWait+rand.N(c.o.ReconnectWait/2+1))
		}
	}
}

// hold waits for the end of a connection, or brings it about.
func (c *Conn) hold(ctx context.Context, l *link) {
	select {
	case <-l.closed:
		c.down(l.reason(l.nc.LastError()))
	case <-ctx.Done():
		closed := fmt.Errorf("%w: closed", ErrDisconnected)
		c.why.Store(&closed)
		c.live.Store(nil)
		l.nc.Close()
		<-l.closed
	}
}

func (c *Conn) up(l *link) {
	l.epoch = c.epoch.Add(1)
	c.live.Store(l)
	c.o.Changed(nil)
}

func (c *Conn) down(err error) {
	err = connectError(err)
	old := c.why.Swap(&err)
	wasUp := c.live.Swap(nil) != nil
	if wasUp || old == nil || !errors.Is(*old, connectKind(err)) {
		c.o.Changed(err)
	}
}

// connectAny tries each server once, and returns the place of the one that took us. A refused login is the error that
// is told, whatever the other servers did.
func (c *Conn) connectAny(ctx context.Context, first int) (*link, int, error) {
	servers := c.o.Login.Servers
	if len(servers) == 0 {
		return nil, 0, fmt.Errorf("%w: no server configured", ErrAuth)
	}
	var worst error
	for i := range servers {
		n := (first + i) % len(servers)
		l, err := c.connect(ctx, servers[n])
		if err == nil {
			return l, n, nil
		}
		err = fmt.Errorf("connect to %s: %w", redact(servers[n]), connectError(err))
		if worst == nil || !errors.Is(err, ErrDisconnected) && errors.Is(worst, ErrDisconnected) {
			worst = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, 0, worst
}

func (c *Conn) connect(ctx context.Context, server string) (*link, error) {
	l := &link{closed: make(chan struct{})}
	opts, err := c.o.Login.options()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAuth, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	dial, keep := dialer(ctx, c.o.ConnectTimeout)
	opts = append(opts,
		nats.SetCustomDialer(dial), nats.SkipHostLookup(), nats.Timeout(c.o.ConnectTimeout),
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
	ready, cancelReady := context.WithTimeout(ctx, c.o.ConnectTimeout)
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

// reason says why the connection ended: err, the client's word for it, is mostly the closed socket that follows the
// server's refusal.
func (l *link) reason(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refused != nil {
		return l.refused
	}
	return err
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
