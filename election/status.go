package election

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// watchEvery is how often a node looks at raft. It is also how late the loss of leadership can be noticed when raft's
// own notification hangs behind a slow disk.
const watchEvery = 50 * time.Millisecond

// Never is the age of what has not happened yet.
const Never = time.Duration(1<<63 - 1)

// Status is what a node knows about itself and its group.
type Status struct {
	ID     string
	State  string // follower, candidate, leader, or stopped
	Term   uint64
	Leader string // "" while unknown
	Voters []string

	// Quorum: this node is part of a majority that works; it leads and commits, or hears from a leader and of commits,
	// and its disk takes what it writes.
	Quorum bool
	// Contact is the time since this node last heard from its leader; 0 for the leader itself.
	Contact time.Duration
	// CommitAge is the time since the commit index last grew here. An idle leader commits an empty entry every
	// [Options].CommitEvery, so a larger age means that the group, or this node's disk, cannot commit.
	CommitAge time.Duration
	// CertExpires is the end of this node's certificate; zero without TLS.
	CertExpires time.Time
	// WriteError is the log store's last failure, or says that a write does not return; empty again after a successful
	// write.
	WriteError string

	LastIndex, CommitIndex, AppliedIndex uint64
}

// Status returns what this node knows.
func (n *Node) Status() Status {
	s := Status{ID: n.opts.ID, State: "stopped", Voters: n.opts.peerIDs(), Contact: Never}
	s.CertExpires = n.port.secure.expires()
	s.CommitAge = n.health.commitAge()
	if err := n.store.trouble(n.stallLimit()); err != nil {
		s.WriteError = err.Error()
	}
	r := n.raft.Load()
	if r == nil {
		return s
	}
	s.Term, s.LastIndex = r.CurrentTerm(), r.LastIndex()
	s.CommitIndex, s.AppliedIndex = r.CommitIndex(), r.AppliedIndex()
	s.Leader, _ = n.Leader()
	switch r.State() {
	case raft.Leader:
		s.State, s.Contact = "leader", 0
		s.Quorum = n.IsLeader() && !n.health.isStalled() && !n.store.hangs(n.stallLimit())
	case raft.Candidate:
		s.State = "candidate"
	case raft.Follower:
		s.State = "follower"
		if last := r.LastContact(); !last.IsZero() {
			s.Contact = time.Since(last)
		}
		s.Quorum = s.Leader != "" && s.Contact < 2*n.opts.Heartbeat && s.CommitAge < n.opts.CommitEvery+n.stallLimit() &&
			!n.store.hangs(n.stallLimit())
	}
	return s
}

// health is what watch learns by looking at raft again and again.
type health struct {
	probing atomic.Bool // an empty entry is being committed

	mu       sync.Mutex
	commit   uint64    // the commit index when last looked at
	commitAt time.Time // when it last grew
	pending  time.Time // since when entries wait for their commit; zero when none do
	asked    time.Time // since when this leader's own empty entry waits for its commit; zero when none does
	stalled  bool      // they wait for too long
	yieldTo  time.Time // until when this node stands back in elections
}

func (h *health) commitAge() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.commitAt.IsZero() {
		return Never
	}
	return time.Since(h.commitAt)
}

// committed notes a commit that this node itself has waited for.
func (h *health) committed() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.commitAt, h.asked = time.Now(), time.Time{}
}

// ask notes that an empty entry is to be committed. While raft hangs, the log does not show it.
func (h *health) ask() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.asked.IsZero() {
		h.asked = time.Now()
	}
}

func (h *health) isStalled() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.stalled
}

func (h *health) yield(until time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.yieldTo = until
}

// look records what raft shows. It tells since when the log has been idle (0 while entries wait for their commit), and
// whether a time of standing back is over. Entries that waited before this node led are no fault of its own.
func (h *health) look(r *raft.Raft, l *lease, limit time.Duration) (idle time.Duration, yielded bool) {
	now, commit, last := time.Now(), r.CommitIndex(), r.LastIndex()
	h.mu.Lock()
	defer h.mu.Unlock()
	if commit > h.commit {
		h.commit, h.commitAt, h.pending, h.asked = commit, now, time.Time{}, time.Time{}
	}
	if l == nil || h.asked.Before(l.since) {
		h.asked = time.Time{} // of a term that is over
	}
	switch {
	case last <= commit:
		h.pending = time.Time{}
		idle = now.Sub(h.commitAt)
	case h.pending.IsZero():
		h.pending = now
	case l != nil && h.pending.Before(l.since):
		h.pending = l.since
	}
	waits := func(since time.Time) bool { return !since.IsZero() && now.Sub(since) > limit }
	h.stalled = waits(h.pending) || waits(h.asked)
	if yielded = !h.yieldTo.IsZero() && now.After(h.yieldTo); yielded {
		h.yieldTo = time.Time{}
	}
	return idle, yielded
}

// watch looks at raft until ctx ends: it keeps the health, commits an empty entry when nothing else is committed,
// steps down when nothing can be, and sees a lost leadership of which raft cannot tell yet.
func (n *Node) watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	leader := ""
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		r := n.raft.Load()
		if r == nil {
			continue
		}
		if now, _ := n.Leader(); now != leader {
			leader = now
			n.log.Info("leader changed", keyLeader, leader, keyTerm, r.CurrentTerm())
		}
		n.look(ctx, r)
	}
}

func (n *Node) look(ctx context.Context, r *raft.Raft) {
	limit := n.stallLimit()
	if err := n.store.trouble(hangLimit); errors.Is(err, errHangs) {
		n.fatal.set(err)
	}
	if r.State() != raft.Leader {
		n.stream.unbar()
	}
	l := n.lease.Load()
	idle, yielded := n.health.look(r, l, limit)
	if yielded {
		n.setTimeouts(1)
	}
	switch {
	case l == nil || l.isLost():
	case r.State() != raft.Leader || r.CurrentTerm() != l.term:
		l.lose()
	case n.health.isStalled() || n.store.hangs(limit):
		n.giveUp(ctx, l, "nothing can be committed")
	case !l.served.Load() && time.Since(l.since) > limit:
		n.giveUp(ctx, l, "the last term's work has not ended, or the log cannot be caught up with")
	case idle > n.opts.CommitEvery:
		n.commitEmpty(ctx)
	}
}

// commitEmpty commits an empty entry in the background, unless the last one still waits.
func (n *Node) commitEmpty(ctx context.Context) {
	if !n.health.probing.CompareAndSwap(false, true) {
		return
	}
	n.health.ask()
	started := n.gate.start(func() {
		defer n.health.probing.Store(false)
		if err := n.ReadBarrier(ctx); err != nil {
			n.log.Warn("cannot commit an empty entry", keyError, err)
		}
	})
	if !started {
		n.health.probing.Store(false)
	}
}
