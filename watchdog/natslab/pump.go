package natslab

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	chunkSize   = 16 << 10 // read size of a pump
	queueChunks = 256      // chunks in flight per direction: bounds what a stalled reader can hide in here
)

// link is one connection through the proxy: near is the dialling side.
type link struct {
	proxy *Proxy
	near  net.Conn
	lossy atomic.Bool // bytes were swallowed: not to be used after a heal
	done  chan struct{}

	mu     sync.Mutex
	far    net.Conn
	closed bool
}

// setFar stores the dialled side, unless the link was closed meanwhile.
func (c *link) setFar(far net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		reset(far)
		return false
	}
	c.far = far
	return true
}

func (c *link) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.closed = true
	close(c.done)
	reset(c.near)
	if c.far != nil {
		reset(c.far)
	}
}

// swallow reads and drops until the link is closed. The dialler's close is
// swallowed too.
func (c *link) swallow() {
	buf := make([]byte, chunkSize)
	for {
		if _, err := c.near.Read(buf); err != nil {
			<-c.done
			return
		}
	}
}

type chunk struct {
	due  time.Time
	data []byte
}

// pump forwards from src to dst until src ends or the link is closed.
func (c *link) pump(dst, src net.Conn) {
	queue := make(chan chunk, queueChunks)
	var wg sync.WaitGroup
	wg.Go(func() { c.write(dst, queue) })
	c.read(src, queue)
	close(queue)
	wg.Wait()
}

func (c *link) read(src net.Conn, queue chan<- chunk) {
	buf := make([]byte, chunkSize)
	for {
		n, err := src.Read(buf)
		if n > 0 {
			_, delay := c.proxy.current()
			select {
			case queue <- chunk{due: time.Now().Add(delay), data: bytes.Clone(buf[:n])}:
			case <-c.done:
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (c *link) write(dst net.Conn, queue <-chan chunk) {
	for k := range queue {
		if !c.waitUntil(k.due) {
			continue // closed: drain
		}
		if state, _ := c.proxy.current(); state != Open {
			c.spoil()
			continue
		}
		c.proxy.forwarded.Add(int64(len(k.data))) // first: whoever has a byte finds it counted
		if _, err := dst.Write(k.data); err != nil {
			c.close()
		}
	}
	c.finish(dst)
}

// finish passes the end of one direction on. A black hole swallows that too.
func (c *link) finish(dst net.Conn) {
	if state, _ := c.proxy.current(); state != Open {
		c.spoil()
		<-c.done
		return
	}
	if t, ok := dst.(*net.TCPConn); ok {
		_ = t.CloseWrite()
	}
}

// spoil marks that bytes were lost. A heal that ran just before the mark did not
// see it, hence the second look.
func (c *link) spoil() {
	c.lossy.Store(true)
	if state, _ := c.proxy.current(); state == Open {
		c.close()
	}
}

// waitUntil sleeps until due; false when the link was closed meanwhile.
func (c *link) waitUntil(due time.Time) bool {
	d := time.Until(due)
	if d <= 0 {
		select {
		case <-c.done:
			return false
		default:
			return true
		}
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.done:
		return false
	}
}

// reset closes a connection at once, dropping what is unsent.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}
