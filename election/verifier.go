package election

import (
	"context"
	"fmt"
	"sync"
)

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
