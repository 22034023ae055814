package election

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// MaxCommand is the largest command that Propose takes, in bytes. One that takes longer than the lease to send
	// would cost the leader its leadership, because it shares the link with the heartbeats.
	MaxCommand = 1 << 20
	// maxAppendEntries bounds what one message between two rafts carries, together with MaxCommand.
	maxAppendEntries = 16

	methodPing  = "election.ping"
	pingTimeout = 300 * time.Millisecond
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
// The error is ErrNotLeader when nothing was proposed, and wraps ErrUnknown when the outcome is unknown. With a context
// that comes from Lead's, it is ErrNotLeader as soon as that term is over, even if this node leads again.
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

// VerifyLeader asks a majority whether this node still leads. It returns ErrNotLeader when it does not.
func (n *Node) VerifyLeader(ctx context.Context) error {
	if err := n.mayLead(ctx); err != nil {
		return fmt.Errorf("verify leadership: %w", err)
	}
	f, ok := n.verify.join(n)
	if !ok {
		return fmt.Errorf("verify leadership: %w", ErrNotRunning)
	}
	select {
	case <-f.done:
	case <-ctx.Done():
		return fmt.Errorf("verify leadership: %w", ctx.Err())
	}
	if f.err != nil {
		return fmt.Errorf("verify leadership: %w: %w", ErrNotLeader, f.err)
	}
	if err := n.mayLead(ctx); err != nil {
		return fmt.Errorf("verify leadership: %w", err)
	}
	return nil
}

// verifier lets callers share a verification: those who come while one is under way, which may have been answered
// already by then, share the next. So raft never has more than one, whatever the number of callers.
type verifier struct {
	mu      sync.Mutex
	next    *flight
	running bool
}

type flight struct {
	done chan struct{}
	err  error
}

func (v *verifier) join(n *Node) (*flight, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.next == nil {
		v.next = &flight{done: make(chan struct{})}
	}
	f := v.next
	if !v.running {
		v.running = n.gate.start(func() { v.run(n) })
	}
	return f, v.running
}

func (v *verifier) run(n *Node) {
	for {
		v.mu.Lock()
		f := v.next
		v.next = nil
		v.running = f != nil
		v.mu.Unlock()
		if f == nil {
			return
		}
		f.err = ErrNotRunning
		if r := n.raft.Load(); r != nil {
			f.err = r.VerifyLeader().Error()
		}
		close(f.done)
	}
}

// Transfer hands leadership to a peer, or with "" to the peer that answers and has the longest log. It returns nil
// once this node no longer leads; the peer's election follows within milliseconds. Only the leader can.
func (n *Node) Transfer(ctx context.Context, to string) error {
	l := n.lease.Load()
	if err := n.mayLead(ctx); err != nil || l == nil {
		return fmt.Errorf("transfer leadership: %w", cmp.Or(err, ErrNotLeader))
	}
	if to == "" {
		var err error
		if to, err = n.successor(ctx); err != nil {
			return fmt.Errorf("transfer leadership: %w", err)
		}
	}
	if _, ok := n.opts.peer(to); !ok || to == n.opts.ID {
		return fmt.Errorf("transfer leadership: %q is not another peer", to)
	}
	err := n.do(ctx, func(r *raft.Raft) error {
		return r.LeadershipTransferToServer(raft.ServerID(to), raft.ServerAddress(to)).Error()
	})
	if err != nil {
		return fmt.Errorf("transfer leadership to %s: %w", to, err)
	}
	select {
	case <-l.lost:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("transfer leadership to %s: %w", to, ctx.Err())
	}
}

// successor asks every other peer, since raft itself would pick one that may be dead.
func (n *Node) successor(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	var mu sync.Mutex
	var best string
	var longest uint64
	var asked sync.WaitGroup
	for _, p := range n.opts.Peers {
		if p.ID == n.opts.ID {
			continue
		}
		asked.Go(func() {
			resp, err := n.Call(ctx, p.ID, methodPing, nil)
			if err != nil || len(resp) != 8 {
				return
			}
			last := binary.BigEndian.Uint64(resp)
			mu.Lock()
			defer mu.Unlock()
			if best == "" || last > longest {
				best, longest = p.ID, last
			}
		})
	}
	asked.Wait()
	if best == "" {
		return "", errors.New("no other peer answers")
	}
	return best, nil
}

// servePing answers with the index of this node's last log entry. A node that cannot write does not answer: it would
// be a bad leader.
func (n *Node) servePing(context.Context, string, []byte) ([]byte, error) {
	r := n.raft.Load()
	if r == nil {
		return nil, ErrNotRunning
	}
	if err := n.store.failing.Load(); err != nil {
		return nil, *err
	}
	return binary.BigEndian.AppendUint64(nil, r.LastIndex()), nil
}
