package election

import (
	"net"
	"sync"
	"time"
)

// staleAfter is how long a connection must have been idle before it is looked at. Raft's busy connections never are;
// those in its pool are idle from one election to the next.
const staleAfter = time.Second

// dialedConn is a connection that raft opened. Raft keeps idle connections in a pool and does not notice when a peer
// restarts: the next election's vote would be sent into a dead one, fail, and cost another election timeout. So a
// connection that was idle and has ended is replaced at the next write, which begins a new request.
type dialedConn struct {
	stream *stream
	to     string

	mu       sync.Mutex
	conn     net.Conn
	used     time.Time // last read or written
	deadline time.Time // of both, for a replacement
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
	return n, err
}

// Write implements net.Conn.
func (c *dialedConn) Write(b []byte) (int, error) {
	conn, err := c.fresh()
	if err != nil {
		return 0, err
	}
	return conn.Write(b)
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
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	return c.conn.SetDeadline(t)
}

// SetReadDeadline implements net.Conn.
func (c *dialedConn) SetReadDeadline(t time.Time) error { return c.current().SetReadDeadline(t) }

// SetWriteDeadline implements net.Conn.
func (c *dialedConn) SetWriteDeadline(t time.Time) error { return c.current().SetWriteDeadline(t) }
