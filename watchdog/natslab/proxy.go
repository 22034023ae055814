package natslab

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// LinkState says what a link does with its traffic.
type LinkState int

const (
	// Open forwards everything, after the link's delay.
	Open LinkState = iota
	// Refuse closes the link's connections and refuses new ones, as a host
	// without a listener does.
	Refuse
	// BlackHole keeps connections open and accepts new ones, and swallows
	// every byte, as a network that drops packets does.
	BlackHole
)

// String gives the state's name.
func (s LinkState) String() string {
	switch s {
	case Open:
		return "open"
	case Refuse:
		return "refuse"
	case BlackHole:
		return "black_hole"
	}
	return fmt.Sprintf("LinkState(%d)", int(s))
}

const (
	dialAgain   = 5 * time.Millisecond
	dialTimeout = 2 * time.Second // to the target, which is on loopback

	listenPatience = 2 * time.Second // for an address in use
)

// Proxy is a TCP link to one target that can be refused, black-holed, delayed
// and healed. Its address stays the same all its life.
type Proxy struct {
	addr, target string
	forwarded    atomic.Int64
	wg           sync.WaitGroup
	hold         <-chan struct{} // until closed, a failed dial is tried again; may be nil

	mu     sync.Mutex
	state  LinkState
	delay  time.Duration
	ln     net.Listener // nil while refusing
	conns  map[*link]struct{}
	closed bool
}

// NewProxy listens on addr and forwards to target until Close. While nothing
// listens at target, connections are taken and closed at once.
func NewProxy(addr, target string) (*Proxy, error) {
	return newProxy(addr, target, nil)
}

func newProxy(addr, target string, hold <-chan struct{}) (*Proxy, error) {
	p := &Proxy{addr: addr, target: target, hold: hold, conns: make(map[*link]struct{})}
	if err := p.listenLocked(); err != nil {
		return nil, err
	}
	p.addr = p.ln.Addr().String()
	return p, nil
}

// Addr is the address to connect to.
func (p *Proxy) Addr() string { return p.addr }

// Target is the address that connections are forwarded to.
func (p *Proxy) Target() string { return p.target }

// Forwarded counts the bytes passed on to either side so far. Swallowed bytes do
// not count.
func (p *Proxy) Forwarded() int64 { return p.forwarded.Load() }

// Set changes the link's state. Bytes already handed to the kernel may still
// arrive. Back to Open, connections that lost bytes in a black hole are closed,
// since their streams have a hole; the others live on. It fails only when the
// link's address cannot be listened on again.
func (p *Proxy) Set(s LinkState) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.state == s {
		return nil
	}
	p.state = s
	if s == Refuse {
		p.stopListeningLocked()
	} else if err := p.listenLocked(); err != nil {
		p.state = Refuse
		return err
	}
	for c := range p.conns {
		if s == Refuse || (s == Open && c.lossy.Load()) {
			c.close()
		}
	}
	return nil
}

// SetDelay sets the latency added to each direction.
func (p *Proxy) SetDelay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// Close ends the link and waits for all it started.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	p.stopListeningLocked()
	for c := range p.conns {
		c.close()
	}
	p.mu.Unlock()
	p.wg.Wait()
	return nil
}

func (p *Proxy) current() (LinkState, time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state, p.delay
}

func (p *Proxy) listenLocked() error {
	if p.ln != nil {
		return nil
	}
	ln, err := listen(p.addr)
	if err != nil {
		return fmt.Errorf("listen for the link to %s: %w", p.target, err)
	}
	p.ln = ln
	p.wg.Go(func() { p.accept(ln) })
	return nil
}

// listen takes an address that may have been given up a moment ago: a child that
// was forked just then holds on to the old listener until its exec.
func listen(addr string) (net.Listener, error) {
	for end := time.Now().Add(listenPatience); ; time.Sleep(dialAgain) {
		ln, err := net.Listen("tcp", addr)
		if !errors.Is(err, syscall.EADDRINUSE) || time.Now().After(end) {
			return ln, err
		}
	}
}

func (p *Proxy) stopListeningLocked() {
	if p.ln != nil {
		_ = p.ln.Close()
		p.ln = nil
	}
}

func (p *Proxy) accept(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		if c, ok := p.register(conn); ok {
			p.wg.Go(func() { p.serve(c) })
		} else {
			reset(conn)
		}
	}
}

// register adds an accepted connection, unless the link refuses by now.
func (p *Proxy) register(conn net.Conn) (*link, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.state == Refuse {
		return nil, false
	}
	c := &link{proxy: p, near: conn, done: make(chan struct{})}
	c.lossy.Store(p.state == BlackHole)
	p.conns[c] = struct{}{}
	return c, true
}

func (p *Proxy) serve(c *link) {
	defer func() {
		c.close()
		p.mu.Lock()
		delete(p.conns, c)
		p.mu.Unlock()
	}()
	if c.lossy.Load() {
		c.swallow()
		return
	}
	far, err := p.dial(c)
	if err != nil || !c.setFar(far) {
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() { c.pump(c.far, c.near) })
	wg.Go(func() { c.pump(c.near, c.far) })
	wg.Wait()
}

// dial connects to the target. While the lab starts, it goes on trying: peers
// that dial a server before it listens would only try again a second later, too
// late for the first election.
func (p *Proxy) dial(c *link) (net.Conn, error) {
	for {
		far, err := net.DialTimeout("tcp", p.target, dialTimeout)
		if err == nil || p.hold == nil {
			return far, err
		}
		select {
		case <-p.hold:
			return nil, err
		case <-c.done:
			return nil, err
		case <-time.After(dialAgain):
		}
	}
}
