package election

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// memNet is a network in memory, so that a group runs under testing/synctest with a clock of its own. Links can be
// cut: what is sent over a cut link is lost, and nobody is told.
type memNet struct {
	mu        sync.Mutex
	listeners map[string]*memListener // by address
	owner     map[string]string       // address → id
	cut       map[[2]string]bool
	conns     map[*memConn]struct{}
}

func newMemNet() *memNet {
	return &memNet{
		listeners: make(map[string]*memListener), owner: make(map[string]string), cut: make(map[[2]string]bool),
		conns: make(map[*memConn]struct{}),
	}
}

// newMemGroup prepares n members on a network in memory, with the default timeouts.
func newMemGroup(t *testing.T, n int) (*group, *memNet) {
	t.Helper()
	nw := newMemNet()
	g := &group{t: t}
	var peers []Peer
	for i := range n {
		peers = append(peers, Peer{ID: fmt.Sprintf("wd-%d", i+1), Addr: fmt.Sprintf("127.0.0.%d:7422", i+1)})
	}
	for _, p := range peers {
		m := &member{t: t, opts: Options{ID: p.ID, Peers: peers, DataDir: t.TempDir(), Log: quiet}}
		m.before = func() { m.opts.Listener = nw.listen(p) }
		m.handle = func(n *Node) {
			n.port.dialAddr = func(ctx context.Context, addr string) (net.Conn, error) { return nw.dial(ctx, p.ID, addr) }
		}
		g.members = append(g.members, m)
	}
	t.Cleanup(g.close)
	return g, nw
}

// isolate cuts, or mends, every link of one node.
func (nw *memNet) isolate(id string, cut bool) {
	nw.mu.Lock()
	defer nw.mu.Unlock()
	for _, other := range nw.owner {
		nw.cut[[2]string{id, other}] = cut
		nw.cut[[2]string{other, id}] = cut
	}
	for c := range nw.conns { // what was lost would leave a gap in the stream
		if !cut && (c.from == id || c.to == id) {
			go c.Conn.Close()
		}
	}
}

func (nw *memNet) isCut(from, to string) bool {
	nw.mu.Lock()
	defer nw.mu.Unlock()
	return nw.cut[[2]string{from, to}]
}

func (nw *memNet) listen(p Peer) net.Listener {
	nw.mu.Lock()
	defer nw.mu.Unlock()
	l := &memListener{nw: nw, addr: p.Addr, conns: make(chan net.Conn), done: make(chan struct{})}
	nw.listeners[p.Addr], nw.owner[p.Addr] = l, p.ID
	return l
}

func (nw *memNet) dial(ctx context.Context, from, addr string) (net.Conn, error) {
	nw.mu.Lock()
	l, to := nw.listeners[addr], nw.owner[addr]
	nw.mu.Unlock()
	if nw.isCut(from, to) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if l == nil {
		return nil, fmt.Errorf("dial %s: refused", addr)
	}
	near, far := net.Pipe()
	a, b := nw.add(near, from, to), nw.add(far, to, from)
	select {
	case l.conns <- b:
		return a, nil
	case <-l.done:
	case <-ctx.Done():
	}
	a.Close()
	b.Close()
	return nil, fmt.Errorf("dial %s: refused", addr)
}

func (nw *memNet) add(conn net.Conn, from, to string) *memConn {
	nw.mu.Lock()
	defer nw.mu.Unlock()
	c := &memConn{Conn: conn, nw: nw, from: from, to: to}
	nw.conns[c] = struct{}{}
	return c
}

type memListener struct {
	nw    *memNet
	addr  string
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *memListener) Close() error {
	l.once.Do(func() {
		close(l.done)
		l.nw.mu.Lock()
		defer l.nw.mu.Unlock()
		if l.nw.listeners[l.addr] == l {
			l.nw.listeners[l.addr] = nil
		}
	})
	return nil
}

func (l *memListener) Addr() net.Addr { return idAddr(l.addr) }

type memConn struct {
	net.Conn
	nw       *memNet
	from, to string
}

func (c *memConn) Write(b []byte) (int, error) {
	if c.nw.isCut(c.from, c.to) {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *memConn) Close() error {
	c.nw.mu.Lock()
	delete(c.nw.conns, c)
	c.nw.mu.Unlock()
	return c.Conn.Close()
}

// fullDisk makes a store's writes fail while full says so.
type fullDisk struct {
	records
	full func() bool
}

var errNoSpace = fmt.Errorf("no space left on device")

func (d *fullDisk) StoreLogs(entries []*raft.Log) error {
	if d.full() {
		return errNoSpace
	}
	return d.records.StoreLogs(entries)
}

func (d *fullDisk) Set(key, value []byte) error {
	if d.full() {
		return errNoSpace
	}
	return d.records.Set(key, value)
}

// within waits until a condition holds, and returns how long that took on the test's clock.
func within(t *testing.T, limit time.Duration, what string, cond func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !cond() {
		if time.Since(start) > limit {
			t.Fatalf("not within %v: %s", limit, what)
		}
		time.Sleep(time.Millisecond)
	}
	return time.Since(start)
}
