package election

import (
	"net"
	"sync"
	"time"
)

// staleAfter is how long a connection must have been idle before it is looked at. Raft's busy connections never are;
// those in its pool are idle from one election to the next.
const staleAfter = time.Second

// slowest is the rate, in bytes a second, at which a peer must at least take what is sent to it.
const slowest = 256 << 10

// dialedConn is a connection that raft opened, with two faults of raft's transport mended.
//
// It gives every exchange the same time, whatever its size: an entry that is too large for a slow link would be sent
// again and again, and hold up the log for good. So deadlines move by what is sent.
//
// Raft keeps idle connections in a pool and does not notice when a peer restarts: the next election's vote
// would be sent into a dead one, fail, and cost another election timeout. So a connection that was idle and has ended
// is replaced at the next write, which begins a new request.
type dialedConn struct {
	stream *stream
	to     string

	mu       sync.Mutex
	conn     net.Conn
	used     time.Time // last read or written
	deadline time.Time // of reads and writes, as raft set it
	sent     int       // bytes since the last read
	before   int       // bytes between the two reads before: a pipeline sends while it reads
	closed   bool
}

func (c *dialedConn) current() net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn
}

// Read implements net.Conn.
func (c *dialedConn) Read(b []byte) (int, error) {
	n, err := c.current().Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used = time.Now()
	c.before, c.sent = c.sent, 0
	return n, err
}

// Write implements net.Conn.
func (c *dialedConn) Write(b []byte) (int, error) {
	conn, err := c.fresh()
	if err != nil {
		return 0, err
	}
	if err := c.extend(conn, len(b)); err != nil {
		return 0, err
	}
	return conn.Write(b)
}

// extend moves the deadline for n more bytes.
func (c *dialedConn) extend(conn net.Conn, n int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent += n
	if c.deadline.IsZero() || c.allowance() < time.Second {
		return nil
	}
	return conn.SetDeadline(c.deadline.Add(c.allowance()))
}

// allowance is the time that what was sent may take.
func (c *dialedConn) allowance() time.Duration {
	return time.Duration(c.sent+c.before) * time.Second / slowest
}

// fresh returns the connection, or its replacement.
func (c *dialedConn) fresh() (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	idle := time.Since(c.used) > staleAfter
	c.used = time.Now()
	if !idle || c.closed || alive(c.conn) {
		return c.conn, nil
	}
	cut(c.conn)
	timeout := greetTimeout
	if !c.deadline.IsZero() {
		timeout = time.Until(c.deadline)
	}
	conn, err := c.stream.dial(c.to, timeout)
	if err != nil {
		return nil, err
	}
	c.conn = conn
	return conn, conn.SetDeadline(c.deadline)
}

// Close implements net.Conn.
func (c *dialedConn) Close() error {
	c.stream.forget(c)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	return c.conn.Close()
}

// LocalAddr implements net.Conn.
func (c *dialedConn) LocalAddr() net.Addr { return c.current().LocalAddr() }

// RemoteAddr implements net.Conn.
func (c *dialedConn) RemoteAddr() net.Addr { return c.current().RemoteAddr() }

// SetDeadline implements net.Conn.
func (c *dialedConn) SetDeadline(t time.Time) error {
	return c.setDeadline(t, net.Conn.SetDeadline)
}

// SetReadDeadline implements net.Conn.
func (c *dialedConn) SetReadDeadline(t time.Time) error {
	return c.setDeadline(t, net.Conn.SetReadDeadline)
}

// SetWriteDeadline implements net.Conn.
func (c *dialedConn) SetWriteDeadline(t time.Time) error {
	return c.setDeadline(t, net.Conn.SetWriteDeadline)
}

func (c *dialedConn) setDeadline(t time.Time, set func(net.Conn, time.Time) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	if !t.IsZero() {
		t = t.Add(c.allowance())
	}
	return set(c.conn, t)
}
