package election

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// Node is one member of the group. Its methods may be called from any goroutine, at any time; before Run, and after
// it, they answer that nothing is known and nothing can be done.
type Node struct {
	opts     Options
	log      *slog.Logger
	store    *store
	snaps    *snapshots
	port     *port
	calls    *caller
	handlers map[string]Handler
	fsm      *fsm

	raft   atomic.Pointer[raft.Raft] // set while Run runs it
	lease  atomic.Pointer[lease]     // set while this node leads
	leases chan *lease               // the newest lease, for the goroutine that leads
	gate   gate
	verify verifier
	health health
	stream *stream // raft's, set before raft is

	hung  <-chan struct{} // closed when a raft that hung at its end has ended; nil when it did not hang
	fatal *latch          // the node must stop at once; its error is Run's
	claim sync.Once
	done  chan struct{} // closed when Run has returned, or Close released a node that never ran
}

// errStopped is what a state machine that has been stopped answers.
var errStopped = errors.New("the node is stopping after a fatal error")

// errClosed ends Run when Close was called.
var errClosed = errors.New("election: node closed")

// Open checks the options and the stores, bootstraps an empty store with the static group, and binds the peers' port.
// It starts nothing: call Run, or Close to release what Open took.
//
// A damaged store, one of another group, or a format from a newer program is refused; see DESIGN.md.
func Open(o Options) (*Node, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	sec, err := newSecure(o)
	if err != nil {
		return nil, err
	}
	n := &Node{
		opts: o, log: o.Log, handlers: make(map[string]Handler), leases: make(chan *lease, 1),
		fatal: newLatch(), done: make(chan struct{}),
	}
	n.fsm = &fsm{machine: o.FSM, fatal: n.fatal.set}
	if err := n.openStores(); err != nil {
		return nil, err
	}
	if err := n.listen(sec); err != nil {
		n.store.close()
		return nil, err
	}
	n.Handle(methodPing, n.servePing)
	return n, nil
}

// openStores opens and verifies the log and the snapshots, and writes the first entry of an empty log.
func (n *Node) openStores() error {
	dir := n.opts.DataDir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("options: DataDir: %w", err)
	}
	s, err := openStore(dir, n.log, n.fatal.set)
	if err != nil {
		return err
	}
	if n.snaps, err = openSnapshots(dir, n.log, n.fatal.set); err == nil {
		err = prepareStores(s, n.snaps, n.opts)
	}
	if err != nil {
		s.close()
		return err
	}
	n.store = s
	return nil
}

func (n *Node) listen(sec *secure) error {
	ln := n.opts.Listener
	if ln == nil {
		var err error
		ln, err = new(net.ListenConfig).Listen(context.Background(), "tcp", n.opts.Bind)
		if err != nil {
			return fmt.Errorf("listen for peers on %s: %w", n.opts.Bind, err)
		}
	}
	n.port = newPort(n.opts, ln, sec)
	n.calls = newCaller(n.port)
	return nil
}

// ID returns this node's id.
func (n *Node) ID() string { return n.opts.ID }

// Addr returns the address on which the peers' port listens.
func (n *Node) Addr() net.Addr { return n.port.ln.Addr() }

// Close stops the node at once, without handing leadership over, and waits until Run has returned. It also releases a
// node that never ran. Ending Run's context is the orderly way.
func (n *Node) Close() error {
	n.fatal.set(errClosed)
	n.claim.Do(func() {
		n.release()
		close(n.done)
	})
	<-n.done
	return nil
}

// release gives back what Open took.
func (n *Node) release() {
	n.port.ln.Close()
	n.calls.close()
	if n.hung == nil {
		n.closeStore()
		return
	}
	go func() { // its disk hangs: nothing but the end of the process frees it earlier
		<-n.hung
		n.closeStore()
	}()
}

func (n *Node) closeStore() {
	if err := n.store.close(); err != nil {
		n.log.Warn("cannot close the log store", keyError, err)
	}
}

// Leader returns the leader's id as this node knows it. known is false while there is none, or none that it knows of.
func (n *Node) Leader() (id string, known bool) {
	r := n.raft.Load()
	if r == nil {
		return "", false
	}
	_, leader := r.LeaderWithID()
	return string(leader), leader != ""
}

// IsLeader reports whether this node believes that it leads. Use VerifyLeader where the belief must hold.
func (n *Node) IsLeader() bool {
	l := n.lease.Load()
	return l != nil && !l.isLost()
}

// latch keeps the first error that it is given, and tells that it has one.
type latch struct {
	once sync.Once
	done chan struct{}
	err  error
}

func newLatch() *latch { return &latch{done: make(chan struct{})} }

func (l *latch) set(err error) {
	l.once.Do(func() {
		l.err = err
		close(l.done)
	})
}

// gate counts work that needs raft, so that raft is not shut down under it.
type gate struct {
	mu     sync.Mutex
	closed bool
	work   sync.WaitGroup
}

// start runs f in a goroutine of its own unless the gate is closed.
func (g *gate) start(f func()) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.work.Go(f)
	return true
}

// close lets no more work begin.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
}
