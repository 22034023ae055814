package election

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

const (
	// MaxCommand is the largest command that Propose takes, in bytes. One that takes longer than the lease to send
	// would cost the leader its leadership, because it shares the link with the heartbeats.
	MaxCommand = 1 << 20
	// maxAppendEntries bounds what one message between two rafts carries, together with MaxCommand.
	maxAppendEntries = 16
)

var (
	// ErrNotLeader means that this node does not lead, or no longer leads the term that the context belongs to.
	// Nothing was proposed.
	ErrNotLeader = errors.New("not the leader")
	// ErrUnknown means that a command may be committed, now or later, or never: leadership was lost or the time was up
	// after it was handed to raft.
	ErrUnknown = errors.New("outcome unknown")
)

// Propose commits one command and returns what the state machine's Apply returned for it. Only the leader can.
//
// The error is ErrNotLeader when nothing was proposed, ctx's own when ctx had ended before the call, and wraps
// ErrUnknown when the outcome is unknown. With a context that comes from Lead's, it is ErrNotLeader as soon as that
// term is over, even if this node leads again.
func (n *Node) Propose(ctx context.Context, data []byte) (any, error) {
	if len(data) > MaxCommand {
		return nil, fmt.Errorf("propose: the command has %d bytes, %d at most", len(data), MaxCommand)
	}
	if err := n.mayLead(ctx); err != nil {
		return nil, fmt.Errorf("propose: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, n.opts.ApplyTimeout)
	defer cancel()
	var result any
	err := n.do(ctx, func(r *raft.Raft) error {
		f := r.Apply(seal(kindCommand, data), n.opts.ApplyTimeout)
		if err := f.Error(); err != nil {
			return err
		}
		if err, ok := f.Response().(error); ok && errors.Is(err, errStopped) {
			return err
		}
		result = f.Response()
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("propose: %w", outcome(err))
	}
	n.health.committed()
	return result, nil
}

// outcome sorts the errors of a proposal: those after which nothing was proposed, and the rest.
func outcome(err error) error {
	switch {
	case errors.Is(err, ErrNotLeader), errors.Is(err, ErrNotRunning):
		return err
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return fmt.Errorf("%w: %w", ErrNotLeader, err)
	default:
		return fmt.Errorf("%w: %w", ErrUnknown, err)
	}
}

// mayLead checks that this node leads, and leads the term that ctx comes from, if it comes from one.
func (n *Node) mayLead(ctx context.Context) error {
	if n.raft.Load() == nil {
		return ErrNotRunning
	}
	l := n.lease.Load()
	if l == nil || l.isLost() {
		return ErrNotLeader
	}
	if mine, ok := ctx.Value(leaseKey{}).(*lease); ok && mine != l {
		return fmt.Errorf("%w of term %d any more", ErrNotLeader, mine.term)
	}
	return ctx.Err()
}

// do runs f, which waits for raft, and returns its error, or ctx's if that ends first; f then goes on alone.
func (n *Node) do(ctx context.Context, f func(r *raft.Raft) error) error {
	r := n.raft.Load()
	if r == nil {
		return ErrNotRunning
	}
	done := make(chan error, 1)
	if !n.gate.start(func() { done <- f(r) }) {
		return ErrNotRunning
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ReadBarrier waits until the state machine has applied every command that was committed before the call, so that a
// read of it afterwards is current. Only the leader can; it costs one log entry.
func (n *Node) ReadBarrier(ctx context.Context) error {
	if err := n.mayLead(ctx); err != nil {
		return fmt.Errorf("read barrier: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, n.opts.ApplyTimeout)
	defer cancel()
	err := n.do(ctx, func(r *raft.Raft) error { return r.Barrier(n.opts.ApplyTimeout).Error() })
	if err != nil {
		return fmt.Errorf("read barrier: %w", err)
	}
	n.health.committed()
	return nil
}
