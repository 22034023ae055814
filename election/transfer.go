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
	methodPing  = "election.ping"
	pingTimeout = 300 * time.Millisecond
)

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
	if err := n.store.trouble(n.opts.Election); err != nil {
		return nil, err
	}
	return binary.BigEndian.AppendUint64(nil, r.LastIndex()), nil
}
