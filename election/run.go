package election

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

const (
	transportPool  = 4               // raft's idle connections a peer
	minRaftTimeout = 2 * time.Second // of one exchange between two rafts
	drainTimeout   = time.Second     // for proposals under way when the node stops
)

// ErrNotRunning is returned by what needs a running node, before Run and after it.
var ErrNotRunning = errors.New("node is not running")

// Run takes part in the group until ctx ends, and calls lead for every term that this node leads, see [Lead]. It owns
// every goroutine of the node; when it returns all of them have ended, lead included, and the stores are closed. Only
// what hangs in a disk that does not answer ends when the disk does.
//
// When ctx ends, lead's context ends; once lead has returned, and not before, leadership is handed over, and Run
// returns nil. It returns an error when the node cannot go on: a damaged entry, a panic of the state machine, a disk that
// hangs, or Close.
// A node runs once.
func (n *Node) Run(ctx context.Context, lead Lead) error {
	claimed := false
	n.claim.Do(func() { claimed = true })
	if !claimed {
		return errors.New("election: node was run or closed before")
	}
	defer close(n.done)
	defer n.release()

	var parts sync.WaitGroup
	defer parts.Wait()
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	parts.Go(func() { n.port.serve(background, n.serveCalls) })

	notify := make(chan bool) // unbuffered: raft waits for each change to be seen, see keepLeases
	engine, err := n.startRaft(notify)
	if err != nil {
		return err
	}
	parts.Go(func() { n.keepLeases(background, notify) })
	parts.Go(func() { n.watch(background) })

	terms, endTerms := context.WithCancel(ctx)
	defer endTerms()
	led := make(chan struct{})
	parts.Go(func() {
		defer close(led)
		n.leadTerms(terms, lead)
	})
	select {
	case <-ctx.Done():
		n.retire(led)
	case <-n.fatal.done:
	}
	endTerms()
	n.stopRaft(engine)
	<-led
	select {
	case <-n.fatal.done:
		return n.fatal.err
	default:
		return nil
	}
}

// retire is the orderly end: the work of the term has stopped before another node may begin its own.
func (n *Node) retire(led <-chan struct{}) {
	select {
	case <-led:
	case <-n.fatal.done:
		return
	}
	if n.opts.single() || !n.IsLeader() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*n.opts.Election+pingTimeout)
	defer cancel()
	if err := n.Transfer(ctx, ""); err != nil {
		n.log.Warn("stopping without handing leadership over", keyError, err)
	}
}

// engine is a running raft with what it talks through.
type engine struct {
	raft      *raft.Raft
	transport *raft.NetworkTransport
	stream    *stream
}

func (n *Node) startRaft(notify chan<- bool) (*engine, error) {
	logger := newRaftLogger(n.log)
	e := &engine{stream: newStream(n.port)}
	e.transport = raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		ServerAddressProvider: byID{},
		Logger:                logger,
		Stream:                e.stream,
		MaxPool:               transportPool,
		Timeout:               max(minRaftTimeout, 2*n.opts.Election),
	})
	err := guard(func() (err error) {
		e.raft, err = raft.NewRaft(n.raftConfig(notify), n.fsm, n.store, n.store, n.snaps, e.transport)
		return err
	})
	if err != nil {
		e.transport.Close()
		e.stream.abort()
		select {
		case <-n.fatal.done: // says it better: raft only says that no snapshot could be restored
			return nil, n.fatal.err
		default:
			return nil, fmt.Errorf("start raft: %w", err)
		}
	}
	n.store.running.Store(true)
	n.stream = e.stream
	n.raft.Store(e.raft)
	return e, nil
}

func (n *Node) raftConfig(notify chan<- bool) *raft.Config {
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(n.opts.ID)
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = n.opts.Heartbeat, n.opts.Election, n.opts.Lease
	c.SnapshotThreshold, c.SnapshotInterval = n.opts.SnapshotThreshold, n.opts.SnapshotInterval
	c.TrailingLogs = n.opts.TrailingLogs
	c.MaxAppendEntries = maxAppendEntries
	c.NoLegacyTelemetry = true
	c.NotifyCh = notify
	c.Logger = newRaftLogger(n.log)
	return c
}

// stopRaft ends raft and its connections. Proposals under way are given a moment first: raft answers them when it
// steps down, but may forget one that it shuts down on.
func (n *Node) stopRaft(e *engine) {
	n.gate.close()
	idle := make(chan struct{})
	go func() {
		defer close(idle)
		n.gate.work.Wait()
	}()
	t := time.NewTimer(drainTimeout)
	defer t.Stop()
	select {
	case <-idle:
	case <-t.C:
	}
	close(n.store.stop)
	down := e.raft.Shutdown()
	e.transport.Close()
	e.stream.abort()
	n.awaitEnd(e, down)
	n.raft.Store(nil)
}

// awaitEnd waits until raft has ended, unless it hangs.
func (n *Node) awaitEnd(e *engine, down raft.Future) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := down.Error(); err != nil {
			n.log.Warn("cannot shut raft down", keyError, err)
		}
		e.transport.CloseStreams()
	}()
	t := time.NewTimer(shutdownTimeout)
	defer t.Stop()
	select {
	case <-ended:
	case <-t.C:
		n.hung = ended
		n.log.Error("raft does not end; leaving it behind", keyError, n.store.trouble(0))
	}
}
