package election

import (
	"net"
	"slices"
	"sync"
	"time"
)

// Limits of greetings. A peer's takes a few round trips; whoever says nothing has no claim to a place.
const (
	maxGreetings     = 64 // accepted connections that have not introduced themselves yet
	maxGreetingsFrom = 16 // of them from one address
	firstByteTimeout = time.Second
	greetTimeout     = 5 * time.Second
)

// greetings are the accepted connections that have not introduced themselves yet, the oldest first. The newest may be
// a peer that wants to vote, and strangers may hold every place: so when there are too many, the oldest has to go; if
// most of them have said nothing, the oldest of those.
type greetings struct {
	fromOne int // the most from one address; 0: any number
	mu      sync.Mutex
	open    []*greeting
}

// greeting is the raw connection of one, with its first byte.
type greeting struct {
	net.Conn
	host  string
	said  bool // it has sent a byte; guarded by greetings.mu
	first []byte
}

// Read implements net.Conn.
func (g *greeting) Read(b []byte) (int, error) {
	if len(g.first) > 0 && len(b) > 0 {
		n := copy(b, g.first)
		g.first = g.first[n:]
		return n, nil
	}
	return g.Conn.Read(b)
}

// NetConn returns the connection below, see bottom.
func (g *greeting) NetConn() net.Conn { return g.Conn }

// add takes in a connection, and closes another if need be.
func (l *greetings) add(conn net.Conn) *greeting {
	g := &greeting{Conn: conn, host: hostOf(conn)}
	l.mu.Lock()
	defer l.mu.Unlock()
	if same := l.from(g.host); l.fromOne > 0 && len(same) >= l.fromOne {
		l.evict(same)
	} else if len(l.open) >= maxGreetings {
		l.evict(l.open)
	}
	l.open = append(l.open, g)
	return g
}

func (l *greetings) from(host string) (same []*greeting) {
	for _, g := range l.open {
		if g.host == host {
			same = append(same, g)
		}
	}
	return same
}

// evict closes one of some, which are not empty.
func (l *greetings) evict(some []*greeting) {
	victim, silent := some[0], 0
	for _, g := range slices.Backward(some) {
		if !g.said {
			victim = g
			silent++
		}
	}
	if 2*silent <= len(some) {
		victim = some[0]
	}
	victim.Conn.Close()
	l.remove(victim)
}

func (l *greetings) remove(g *greeting) {
	l.open = slices.DeleteFunc(l.open, func(o *greeting) bool { return o == g })
}

// heard notes that a connection has sent its first byte.
func (l *greetings) heard(g *greeting) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g.said = true
}

// done forgets a connection that has introduced itself, or failed to.
func (l *greetings) done(g *greeting) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remove(g)
}

// awaitFirst reads the first byte within its own, shorter time.
func (g *greeting) awaitFirst() error {
	if err := g.SetReadDeadline(time.Now().Add(firstByteTimeout)); err != nil {
		return err
	}
	b := make([]byte, 1)
	n, err := g.Conn.Read(b)
	g.first = b[:n]
	return err
}

func hostOf(conn net.Conn) string {
	remote := conn.RemoteAddr().String()
	if host, _, err := net.SplitHostPort(remote); err == nil {
		return host
	}
	return remote
}
