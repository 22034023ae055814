package jsapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

type dialFunc func(network, address string) (net.Conn, error)

func (f dialFunc) Dial(network, address string) (net.Conn, error) { return f(network, address) }

// dialer lets ctx end a connect in every phase of it, the wait for the server's greeting too. keep takes the
// connection out of the reach of ctx; it returns false when that came too late.
func dialer(ctx context.Context, timeout time.Duration) (d nats.CustomDialer, keep func() bool) {
	stop := func() bool { return true }
	d = dialFunc(func(network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{Timeout: timeout}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		stop = context.AfterFunc(ctx, func() { conn.Close() })
		return &lastWords{Conn: conn}, nil
	})
	return d, func() bool { return stop() }
}

// lastWords is a connection that, when a write fails, knows what the server said before it hung up: a full server
// refuses with a word after its greeting and closes, and without this it would look like one that cannot be reached.
type lastWords struct {
	net.Conn
	mu    sync.Mutex
	words []byte // the first bytes that were read
}

const maxWords = 16 << 10 // a greeting of a large cluster, and the refusal after it

func (c *lastWords) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.words) < maxWords {
		c.words = append(c.words, b[:n]...)
	}
	return n, err
}

var serverError = regexp.MustCompile(`-ERR '([^'\r\n]*)'`)

// Write fails with the server's own error, where it left one. Over TLS its words cannot be read here.
func (c *lastWords) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err == nil || errors.Is(err, net.ErrClosed) {
		return n, err
	}
	_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	rest, _ := io.ReadAll(io.LimitReader(c.Conn, maxWords))
	c.mu.Lock()
	defer c.mu.Unlock()
	if m := serverError.FindSubmatch(append(c.words, rest...)); m != nil && len(c.words) < maxWords {
		err = fmt.Errorf("nats: %s: %w", strings.ToLower(string(m[1])), err)
	}
	return n, err
}
