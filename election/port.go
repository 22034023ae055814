package election

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"time"
)

// Limits of the peers' port. A peer uses a handful of connections; the limits keep a stranger from taking memory. Those
// of connections that are not known to be a peer's yet are in greetings.go.
const (
	maxConns      = 64 // open connections a peer and stream
	acceptBackoff = 50 * time.Millisecond
)

// The first byte of a connection selects its stream.
const (
	streamRaft = 'R'
	streamCall = 'C'
)

// port is the peers' port: one listener for raft and for calls, and the way to the other peers' ports.
type port struct {
	self   string
	peers  map[string]string // id → the address at which this node reaches it
	group  [groupLen]byte
	ln     net.Listener
	log    *slog.Logger
	seldom *seldom
	secure *secure // nil: plain TCP on loopback
	// dialAddr opens a connection to an address; tests replace it.
	dialAddr func(ctx context.Context, addr string) (net.Conn, error)

	greetings greetings
	raft      chan net.Conn // accepted connections for raft
	raftDone  chan struct{} // closed when raft takes no more

	mu     sync.Mutex
	conns  map[*trackedConn]struct{}
	open   map[string]int // by stream and peer
	closed bool
	wg     sync.WaitGroup
}

func newPort(o Options, ln net.Listener, sec *secure) *port {
	p := &port{
		self: o.ID, peers: make(map[string]string), group: groupOf(o.peerIDs()), ln: ln, log: o.Log, seldom: newSeldom(),
		secure: sec,
		dialAddr: func(ctx context.Context, addr string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		},
		raft: make(chan net.Conn), raftDone: make(chan struct{}), conns: make(map[*trackedConn]struct{}), open: make(map[string]int),
	}
	if sec != nil { // on loopback every peer has the same address
		p.greetings.fromOne = maxGreetingsFrom
	}
	for _, q := range o.Peers {
		p.peers[q.ID] = q.Addr
	}
	return p
}

// serve accepts connections until ctx ends, and returns when all that it started has: calls are answered by answer,
// raft's connections wait in p.raft.
func (p *port) serve(ctx context.Context, answer func(ctx context.Context, conn net.Conn, from string)) {
	defer p.wg.Wait()
	defer p.closeConns()
	defer context.AfterFunc(ctx, func() { p.ln.Close() })()
	for ctx.Err() == nil {
		conn, err := p.ln.Accept()
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, net.ErrClosed) {
				p.log.Warn("cannot accept a peer's connection", keyError, err)
			}
			sleep(ctx, acceptBackoff)
			continue
		}
		g := p.greetings.add(conn)
		p.wg.Go(func() { p.welcome(ctx, g, answer) })
	}
}

// welcome lets a connection introduce itself and hands it to its stream.
func (p *port) welcome(ctx context.Context, raw *greeting, answer func(context.Context, net.Conn, string)) {
	conn, h, err := p.greet(ctx, raw)
	p.greetings.done(raw)
	if err != nil {
		raw.Close()
		if ctx.Err() == nil && !connectionEnded(err) {
			p.refused(raw, err)
		}
		return
	}
	if h.stream == streamRaft {
		conn = &inspected{Conn: conn, in: inspector{requests: true}}
	}
	tracked, err := p.track(conn, h.stream, h.from)
	if err != nil {
		conn.Close()
		p.refused(raw, fmt.Errorf("%s: %w", h.from, err))
		return
	}
	if h.stream == streamCall {
		defer tracked.Close()
		answer(ctx, tracked, h.from)
		return
	}
	select {
	case p.raft <- tracked: // raft closes it
	case <-p.raftDone:
		tracked.Close()
	case <-ctx.Done():
		tracked.Close()
	}
}

func (p *port) refused(raw net.Conn, err error) {
	if p.seldom.may(hostOf(raw) + err.Error()) {
		p.log.Warn("refused a connection to the peers' port", keyRemote, raw.RemoteAddr().String(), keyError, err)
	}
}

// dial opens a stream to a peer. The returned connection has no deadline.
func (p *port) dial(ctx context.Context, stream byte, to string) (net.Conn, error) {
	addr, ok := p.peers[to]
	if !ok {
		return nil, fmt.Errorf("peer %q is not configured", to)
	}
	ctx, cancel := context.WithTimeout(ctx, greetTimeout)
	defer cancel()
	raw, err := p.dialAddr(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("dial peer %s: %w", to, err)
	}
	conn, err := p.introduce(ctx, raw, hello{stream: stream, group: p.group, from: p.self, to: to})
	if err != nil {
		raw.Close()
		return nil, fmt.Errorf("dial peer %s at %s: %w", to, addr, err)
	}
	return conn, nil
}

// trackedConn is an accepted connection that the port closes at its end, if nobody did before.
type trackedConn struct {
	net.Conn
	once   sync.Once
	forget func()
}

// Close implements net.Conn.
func (c *trackedConn) Close() error {
	c.once.Do(c.forget)
	return c.Conn.Close()
}

func (p *port) track(conn net.Conn, stream byte, from string) (*trackedConn, error) {
	key := string(stream) + from
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, net.ErrClosed
	}
	if p.open[key] >= maxConns {
		return nil, fmt.Errorf("it has %d connections open already", maxConns)
	}
	p.open[key]++
	c := &trackedConn{Conn: conn}
	c.forget = func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.open[key]--
		delete(p.conns, c)
	}
	p.conns[c] = struct{}{}
	return c, nil
}

// closeConns closes every accepted connection, which ends those who read from them.
func (p *port) closeConns() {
	p.mu.Lock()
	p.closed = true
	conns := slices.Collect(maps.Keys(p.conns))
	p.mu.Unlock()
	for _, c := range conns {
		c.once.Do(c.forget)
		cut(c.Conn)
	}
}

// cut closes a connection without a word to the other side: TLS would wait for seconds to say it to a dead one.
func cut(conn net.Conn) {
	bottom(conn).Close()
}

// bottom returns the network's connection below those that wrap it.
func bottom(conn net.Conn) net.Conn {
	for {
		c, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			return conn
		}
		conn = c.NetConn()
	}
}

// sleep waits for d, or less if ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
