package election

import (
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"
)

// fakeConn has an address, and tells whether it was closed.
type fakeConn struct {
	net.Conn
	from   string
	closed bool
}

func (c *fakeConn) RemoteAddr() net.Addr { return idAddr(c.from) }
func (c *fakeConn) Close() error         { c.closed = true; return nil }

func TestGreetingsEvict(t *testing.T) {
	for name, c := range map[string]struct {
		fromOne int
		from    func(i int) string
		said    func(i int) bool
		want    int // which is closed when one more comes
	}{
		"silent":                  {0, host(1), never, 0},
		"the oldest has spoken":   {0, host(1), func(i int) bool { return i == 0 }, 1},
		"most have spoken":        {0, host(1), func(i int) bool { return i < 60 }, 0},
		"one address has most":    {maxGreetingsFrom, twoHosts, never, maxGreetings - maxGreetingsFrom},
		"many addresses have all": {maxGreetingsFrom, func(i int) string { return host(i)(i) }, never, 0},
	} {
		t.Run(name, func(t *testing.T) {
			l := &greetings{}
			var conns []*fakeConn
			for i := range maxGreetings {
				conn := &fakeConn{from: c.from(i)}
				conns = append(conns, conn)
				if g := l.add(conn); c.said(i) {
					l.heard(g)
				}
			}
			l.fromOne = c.fromOne
			l.add(&fakeConn{from: conns[maxGreetings-1].from})
			if got := slices.IndexFunc(conns, func(c *fakeConn) bool { return c.closed }); got != c.want {
				t.Errorf("number %d was closed, want %d", got, c.want)
			}
			if len(l.open) > maxGreetings {
				t.Errorf("%d are open", len(l.open))
			}
		})
	}
}

// twoHosts gives the last of all connections, as many as one address may have, to a second address.
func twoHosts(i int) string { return host(1 + i/(maxGreetings-maxGreetingsFrom))(i) }

func never(int) bool { return false }

func host(n int) func(int) string {
	return func(port int) string { return fmt.Sprintf("10.0.0.%d:%d", n, 1024+port) }
}

// A stranger that opens silent connections all the time must not keep the peers from an election.
func TestElectionUnderSilentConnections(t *testing.T) {
	g := newGroup(t, 3, nil)
	g.start()
	l := g.leader()
	stop := make(chan struct{})
	var strangers sync.WaitGroup
	defer strangers.Wait()
	defer close(stop)
	for _, m := range others(g, l) {
		for range maxGreetings + 16 {
			strangers.Go(func() { keepSilent(m.node.Addr().String(), stop) })
		}
		eventually(t, "no place is left", func() bool { return m.node.port.greetings.count() >= maxGreetings })
	}
	l.kill()
	eventually(t, "another leads", func() bool { return slices.ContainsFunc(others(g, l), (*member).leading) })
}

// keepSilent opens one connection after the other, and waits on each until the other side closes it.
func keepSilent(addr string, stop <-chan struct{}) {
	for !isClosed(stop) {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err != nil {
			continue
		}
		conn.SetDeadline(time.Now().Add(5 * time.Second))
		conn.Read(make([]byte, 1))
		conn.Close()
	}
}

func (l *greetings) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open)
}
