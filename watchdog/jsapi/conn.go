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
	moves  chan uint64 // epochs whose server is to be left; nil when the connection stays where it is
	cancel context.CancelFunc
	done   chan struct{}
}

// link is one connection, from its connect to its end.
type link struct {
	nc      *nats.Conn
	place   int // of its server in the login
	epoch   uint64
	closed  chan struct{} // closed by the client's last callback
	waiting waiting
	told    chan struct{} // closed when why is known
	why     error         // of its end
	mu      sync.Mutex
	refused error // a login error that the server sent before it closed
}

// Dial returns at once; the connection is made, and made again, in the background until Close.
func Dial(o Options) *Conn {
	ctx, cancel := context.WithCancel(context.Background())
	c := &Conn{o: o.withDefaults(), moves: make(chan uint64, 1), cancel: cancel, done: make(chan struct{})}
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
	l, err := c.connectAny(ctx, o.Login.first(), len(o.Login.Servers))
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
	next := c.o.Login.first()
	for ctx.Err() == nil {
		began := time.Now()
		l, err := c.connectAny(ctx, next, len(c.o.Login.Servers))
		if err == nil {
			c.up(l)
			next = c.hold(ctx, l) + 1 // whatever ended that connection, another server is the better try
		} else {
			c.down(err)
		}
		if time.Since(began) < 2*c.o.ReconnectWait || err != nil {
			pause(ctx, c.o.ReconnectWait+rand.N(c.o.ReconnectWait/2+1))
		}
	}
}

// hold waits for the end of a connection, or brings it about, and lets others take its place meanwhile. It returns the
// place of the last one's server.
func (c *Conn) hold(ctx context.Context, l *link) (place int) {
	var left sync.WaitGroup
	defer left.Wait()
	leaving, hurry := context.WithCancel(ctx)
	defer hurry()
	for {
		select {
		case <-l.closed:
			c.lose(ctx, l)
			return l.place
		case epoch := <-c.moves:
			if next := c.elsewhere(ctx, l, epoch); next != nil {
				old := l
				left.Go(func() { old.leave(leaving) })
				l = next
			}
		case <-ctx.Done():
			closed := fmt.Errorf("%w: closed", ErrDisconnected)
			c.why.Store(&closed)
			c.live.Store(nil)
			l.nc.Close()
			<-l.closed
			l.tell(closed)
			return l.place
		}
	}
}

func (c *Conn) up(l *link) {
	c.goLive(l)
	c.o.Changed(nil)
}

func (c *Conn) goLive(l *link) {
	l.epoch = c.epoch.Add(1)
	c.live.Store(l)
}

func (c *Conn) down(err error) {
	err = connectError(err)
	old := c.why.Swap(&err)
	wasUp := c.live.Swap(nil) != nil
	if wasUp || old == nil || !errors.Is(*old, connectKind(err)) {
		c.o.Changed(err)
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
