package election

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"sync"
	"time"
)

// Limits of calls.
const (
	MaxRequest  = 4 << 20  // bytes of a request's body
	MaxResponse = 64 << 20 // bytes of a response's body

	defaultCallTimeout = 10 * time.Second // of a call whose context has no deadline
	maxCallTimeout     = 2 * time.Minute  // a handler's context never lives longer
	maxIdleConns       = 4                // kept open a peer
	maxCallsAtOnce     = 16               // a peer; more wait
	dialIdle           = time.Minute      // the caller drops an idle connection after this long
	serveIdle          = 2 * dialIdle     // and its peer later, so that the caller never sends into a closing one
	frameTimeout       = 30 * time.Second // to receive or send one frame once it has begun
)

// ErrUnreachable is wrapped by the error of a call whose request was certainly not sent: the peer cannot be reached,
// or refused the connection.
var ErrUnreachable = errors.New("peer unreachable")

// Codes of a RemoteError that this package makes itself.
const (
	CodeError         = "error"          // the handler's error had no code of its own
	CodeUnknownMethod = "unknown_method" // nobody handles the method there
	CodeTooLarge      = "too_large"      // the response is over MaxResponse
)

// RemoteError is an error that a peer's handler returned. A handler may return one to choose the code.
type RemoteError struct {
	Peer   string // who answered; filled in by Call
	Method string // filled in by Call
	Code   string // stable, for programs
	Text   string // for people
}

// Error implements error.
func (e *RemoteError) Error() string {
	if e.Peer == "" {
		return e.Text
	}
	return fmt.Sprintf("%s at peer %s: %s (%s)", e.Method, e.Peer, e.Text, e.Code)
}

// Handler answers a call. from is the caller's id, proven by its certificate when the peers use TLS. ctx ends at the
// caller's deadline or when the node stops.
type Handler func(ctx context.Context, from string, req []byte) ([]byte, error)

// Handle makes h answer calls of method. It must be called before Run, and once a method.
func (n *Node) Handle(method string, h func(ctx context.Context, from string, req []byte) ([]byte, error)) {
	if method == "" || len(method) > math.MaxUint8 {
		panic(fmt.Sprintf("election: method %q is empty or too long", method))
	}
	if _, ok := n.handlers[method]; ok {
		panic(fmt.Sprintf("election: method %q is handled already", method))
	}
	n.handlers[method] = h
}

// Call asks a peer, or this node itself, and waits for the answer, 10 s at most when ctx has no deadline.
//
// A *RemoteError means that the peer's handler answered with an error. ErrUnreachable means that the peer was not
// asked. Any other error leaves open whether the handler ran.
func (n *Node) Call(ctx context.Context, to, method string, req []byte) ([]byte, error) {
	if len(req) > MaxRequest {
		return nil, fmt.Errorf("call %s at %s: the request has %d bytes, %d at most", method, to, len(req), MaxRequest)
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, defaultCallTimeout)
		defer cancel()
	}
	var resp []byte
	var err error
	if to == n.opts.ID {
		resp, err = n.answer(ctx, to, method, req)
	} else {
		resp, err = n.calls.call(ctx, to, method, req)
	}
	var remote *RemoteError
	if errors.As(err, &remote) {
		return nil, &RemoteError{Peer: to, Method: method, Code: remote.Code, Text: remote.Text}
	}
	if err != nil {
		return nil, fmt.Errorf("call %s at %s: %w", method, to, err)
	}
	return resp, nil
}

// answer runs the handler of a method. Its error is always a *RemoteError.
func (n *Node) answer(ctx context.Context, from, method string, req []byte) ([]byte, error) {
	h, ok := n.handlers[method]
	if !ok {
		return nil, &RemoteError{Code: CodeUnknownMethod, Text: fmt.Sprintf("nobody handles method %q", method)}
	}
	resp, err := h(ctx, from, req)
	var remote *RemoteError
	switch {
	case errors.As(err, &remote):
		return nil, &RemoteError{Code: remote.Code, Text: remote.Text}
	case err != nil:
		return nil, &RemoteError{Code: CodeError, Text: err.Error()}
	case len(resp) > MaxResponse:
		text := fmt.Sprintf("the response has %d bytes, %d at most", len(resp), MaxResponse)
		return nil, &RemoteError{Code: CodeTooLarge, Text: text}
	}
	return resp, nil
}

// caller makes calls to the other peers over pooled connections, one call at a time on each.
type caller struct {
	port *port

	mu     sync.Mutex
	idle   map[string][]idleConn
	slots  map[string]chan struct{}
	closed bool
}

type idleConn struct {
	callConn
	since time.Time
}

type callConn struct {
	net.Conn
	r *bufio.Reader
}

func newCaller(p *port) *caller {
	c := &caller{port: p, idle: make(map[string][]idleConn), slots: make(map[string]chan struct{})}
	for id := range p.peers {
		c.slots[id] = make(chan struct{}, maxCallsAtOnce)
	}
	return c
}

func (c *caller) call(ctx context.Context, to, method string, req []byte) ([]byte, error) {
	slots, ok := c.slots[to]
	if !ok {
		return nil, fmt.Errorf("%w: %q is not configured", ErrUnreachable, to)
	}
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %d calls are waiting: %w", ErrUnreachable, maxCallsAtOnce, ctx.Err())
	}
	conn, err := c.get(ctx, to)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	stop := context.AfterFunc(ctx, func() { cut(conn.Conn) })
	resp, err := exchange(ctx, conn, method, req)
	var remote *RemoteError
	reusable := err == nil || errors.As(err, &remote)
	if stop() && reusable {
		c.put(to, conn)
	} else {
		conn.Close()
	}
	if err != nil && !reusable && ctx.Err() != nil {
		return nil, fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return resp, err
}

// get returns a live connection to a peer.
func (c *caller) get(ctx context.Context, to string) (callConn, error) {
	for {
		c.mu.Lock()
		conns := c.idle[to]
		if len(conns) == 0 {
			c.mu.Unlock()
			break
		}
		last := conns[len(conns)-1]
		c.idle[to] = conns[:len(conns)-1]
		c.mu.Unlock()
		if time.Since(last.since) < dialIdle && alive(last.Conn) {
			return last.callConn, nil
		}
		last.Close()
	}
	conn, err := c.port.dial(ctx, streamCall, to)
	if err != nil {
		return callConn{}, err
	}
	return callConn{Conn: conn, r: bufio.NewReader(conn)}, nil
}

// put keeps a connection for the next call.
func (c *caller) put(to string, conn callConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || len(c.idle[to]) >= maxIdleConns {
		conn.Close()
		return
	}
	c.idle[to] = append(c.idle[to], idleConn{callConn: conn, since: time.Now()})
}

func (c *caller) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, conns := range c.idle {
		for _, conn := range conns {
			conn.Close()
		}
	}
	clear(c.idle)
}

// exchange sends one request and reads its response:
//
//	request:  len u8, method | timeout ms u32 | len u32, body
//	response: failed u8 | len u8, code | len u32, body or text
func exchange(ctx context.Context, conn callConn, method string, req []byte) ([]byte, error) {
	timeout := maxCallTimeout
	if deadline, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(deadline))
	}
	frame := make([]byte, 0, 1+len(method)+8+len(req))
	frame = append(append(frame, byte(len(method))), method...)
	frame = binary.BigEndian.AppendUint32(frame, uint32(max(timeout.Milliseconds(), 1)))
	frame = appendBody(frame, req)
	if _, err := conn.Write(frame); err != nil {
		return nil, fmt.Errorf("send the request: %w", err)
	}
	failed, code, body, err := readResponse(conn.r)
	if err != nil {
		return nil, fmt.Errorf("read the response: %w", err)
	}
	if failed {
		return nil, &RemoteError{Code: code, Text: string(body)}
	}
	return body, nil
}

func readResponse(r io.Reader) (failed bool, code string, body []byte, err error) {
	var head [1]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return false, "", nil, err
	}
	name, err := readShort(r)
	if err != nil {
		return false, "", nil, err
	}
	body, err = readBody(r, MaxResponse)
	return head[0] != 0, string(name), body, err
}

func appendBody(b, body []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(body))), body...)
}

// readBody reads bytes behind a four-byte length. It allocates as they arrive, so that a length alone costs nothing.
func readBody(r io.Reader, limit uint32) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > limit {
		return nil, fmt.Errorf("a body of %d bytes is over the limit of %d", n, limit)
	}
	body, err := io.ReadAll(io.LimitReader(r, int64(n)))
	if err == nil && len(body) < int(n) {
		err = io.ErrUnexpectedEOF
	}
	return body, err
}
