package election

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// stream is the part of the peers' port that raft uses. To raft, a peer's address is its id: each node resolves ids by
// its own configuration when it dials. So the addresses that raft stores, votes for and compares are the same on every
// node, whatever the network between two of them looks like.
type stream struct {
	port *port
	once sync.Once
	done chan struct{} // the port's raftDone

	mu     sync.Mutex
	dialed map[*dialedConn]struct{} // nil after abort
	barred chan struct{}            // closed while raft may not dial, see bar
}

func newStream(p *port) *stream {
	return &stream{port: p, done: p.raftDone, dialed: make(map[*dialedConn]struct{}), barred: make(chan struct{})}
}

// Accept implements net.Listener.
func (s *stream) Accept() (net.Conn, error) {
	select {
	case conn := <-s.port.raft:
		return conn, nil
	case <-s.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. The port itself is closed by its owner.
func (s *stream) Close() error {
	s.once.Do(func() { close(s.done) })
	return nil
}

// Addr implements net.Listener.
func (s *stream) Addr() net.Addr { return idAddr(s.port.self) }

// Dial implements raft.StreamLayer.
func (s *stream) Dial(id raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	conn, err := s.dial(string(id), timeout)
	if err != nil {
		return nil, err
	}
	return s.keep(&dialedConn{stream: s, to: string(id), conn: conn, used: time.Now()})
}

// dial opens a connection; abort and bar end it early.
func (s *stream) dial(id string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	barred := s.bars()
	if isClosed(barred) {
		return nil, errBarred
	}
	go func() { // ends with this call
		select {
		case <-s.done:
			cancel()
		case <-barred:
			cancel()
		case <-ctx.Done():
		}
	}()
	conn, err := s.port.dial(ctx, streamRaft, id)
	if err != nil {
		return nil, err
	}
	return &inspected{Conn: conn}, nil
}

// keep notes a connection for abort.
func (s *stream) keep(c *dialedConn) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dialed == nil || isClosed(s.barred) {
		cut(c.conn)
		return nil, net.ErrClosed
	}
	s.dialed[c] = struct{}{}
	return c, nil
}

func (s *stream) forget(c *dialedConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.dialed, c)
}

// abort closes the stream and every connection that raft opened: raft's goroutines would wait for the answers
// otherwise.
func (s *stream) abort() {
	s.Close()
	s.mu.Lock()
	conns := s.dialed
	s.dialed = nil
	s.mu.Unlock()
	for c := range conns {
		cut(c.current())
	}
}

// errBarred is what raft's dials get while it is cut off from its peers.
var errBarred = errors.New("this node has cut itself off from its peers, because its raft does not answer")

// bar cuts every connection that raft opened, and refuses new ones until unbar.
func (s *stream) bar() {
	s.mu.Lock()
	if !isClosed(s.barred) {
		close(s.barred)
	}
	conns := slices.Collect(maps.Keys(s.dialed))
	s.mu.Unlock()
	for _, c := range conns {
		cut(c.current())
	}
}

// unbar lets raft dial again.
func (s *stream) unbar() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if isClosed(s.barred) {
		s.barred = make(chan struct{})
	}
}

// bars is closed while raft may not dial.
func (s *stream) bars() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.barred
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// idAddr is a peer's address as raft knows it: its id.
type idAddr string

// Network implements net.Addr.
func (idAddr) Network() string { return "peer" }

// String implements net.Addr.
func (a idAddr) String() string { return string(a) }

// byID makes raft use ids as addresses, whatever addresses its stored configuration holds.
type byID struct{}

// ServerAddr implements raft.ServerAddressProvider.
func (byID) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	return raft.ServerAddress(id), nil
}
