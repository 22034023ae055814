package election

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// Term is one period of leadership.
type Term struct {
	// Number is raft's term. No two nodes ever lead in the same one, and it only grows.
	Number uint64
}

// Lead is the work of a leader. It is called for each term that this node leads, once the state machine holds every
// command that any earlier leader committed. ctx ends when leadership is lost, or when the node stops; the next term
// is never started before Lead has returned.
//
// [Node.Propose] and [Node.VerifyLeader] called with ctx, or a context that comes from it, work in this term only.
//
// When Lead returns while the node still leads, leadership is passed on, so that another node may try; a single node
// calls Lead again after a pause.
type Lead func(ctx context.Context, term Term) error

const (
	minPause = time.Second
	maxPause = 30 * time.Second
)

// lease is raft's word that this node leads a term, until lost is closed.
type lease struct {
	term   uint64
	since  time.Time
	served atomic.Bool // lead was called for it
	once   sync.Once
	lost   chan struct{}
}

func (l *lease) lose() { l.once.Do(func() { close(l.lost) }) }

func (l *lease) isLost() bool { return isClosed(l.lost) }

// leaseKey finds the lease in a context that comes from Lead's.
type leaseKey struct{}

// keepLeases turns raft's notifications into leases. Raft blocks until a notification is taken, so this does nothing
// else; and as raft cannot lead again before both the loss and the gain were taken, none is missed.
func (n *Node) keepLeases(ctx context.Context, notify <-chan bool) {
	defer n.loseLease()
	for {
		select {
		case gained := <-notify:
			n.loseLease()
			if gained {
				n.gainLease()
			}
		case <-ctx.Done():
			return
		}
	}
}

// gainLease reads the term that raft leads. Raft changes its term only while it does not lead, so two equal readings
// around a look at its state belong to one leadership.
func (n *Node) gainLease() {
	r := n.raft.Load()
	if r == nil {
		return
	}
	term := r.CurrentTerm()
	if r.State() != raft.Leader || r.CurrentTerm() != term {
		return // lost already
	}
	l := &lease{term: term, since: time.Now(), lost: make(chan struct{})}
	n.lease.Store(l)
	select {
	case <-n.leases: // an older one that nobody took
	default:
	}
	n.leases <- l
}

func (n *Node) loseLease() {
	if l := n.lease.Swap(nil); l != nil {
		l.lose()
	}
}

// leadTerms serves one lease after the other.
func (n *Node) leadTerms(ctx context.Context, lead Lead) {
	for {
		select {
		case l := <-n.leases:
			n.leadTerm(ctx, l, lead)
		case <-ctx.Done():
			return
		}
	}
}

// leadTerm calls lead until the lease is lost.
func (n *Node) leadTerm(ctx context.Context, l *lease, lead Lead) {
	ctx, cancel := context.WithCancelCause(context.WithValue(ctx, leaseKey{}, l))
	var watcher sync.WaitGroup
	defer watcher.Wait()
	defer cancel(nil)
	watcher.Go(func() {
		select {
		case <-l.lost:
			cancel(fmt.Errorf("term %d: %w", l.term, ErrNotLeader))
		case <-ctx.Done():
		}
	})
	log := n.log.With(keyTerm, l.term)
	for pause := minPause; n.catchUp(ctx); pause = min(2*pause, maxPause) {
		log.Info("leading")
		l.served.Store(true)
		err := lead(ctx, Term{Number: l.term})
		if ctx.Err() != nil {
			if err != nil && !errors.Is(err, context.Canceled) {
				log = log.With(keyError, err)
			}
			log.Info("leading no more")
			return
		}
		if !n.opts.single() {
			pause = n.opts.Election
		}
		log.Warn("the leader's work ended by itself", keyPause, pause, keyError, err)
		sleep(ctx, pause)
		if !n.opts.single() && ctx.Err() == nil {
			n.giveUp(ctx, l, "the leader's work ended by itself")
		}
	}
}

// catchUp waits until the state machine has applied every entry of earlier terms. It reports false when the term is
// over before.
func (n *Node) catchUp(ctx context.Context) bool {
	for ctx.Err() == nil {
		err := n.ReadBarrier(ctx)
		if err == nil {
			return true
		}
		n.log.Debug("a new leader cannot catch up yet", keyError, err)
		sleep(ctx, n.opts.Lease)
	}
	return false
}

// giveUp passes leadership on, or at least steps down, or lets the peers take it. It returns when the lease is lost, or
// when that failed.
func (n *Node) giveUp(ctx context.Context, l *lease, reason string) {
	if l.isLost() || n.opts.single() {
		return
	}
	log := n.log.With(keyTerm, l.term, keyReason, reason)
	n.yield()
	if n.store.hangs(n.stallLimit()) { // raft cannot answer: do not ask it
		n.cutOff(log, l)
		return
	}
	to, cancel := context.WithTimeout(ctx, 2*n.opts.Election+pingTimeout)
	defer cancel()
	if err := n.Transfer(to, ""); err == nil {
		log.Warn("passed leadership on")
		return
	} else if l.isLost() {
		return
	} else {
		log.Warn("cannot pass leadership on; stepping down", keyError, err)
	}
	if err := n.stepDown(ctx); err != nil && !l.isLost() {
		log.Error("cannot step down", keyError, err)
		if noAnswer(err) {
			n.cutOff(log, l)
		}
		return
	}
	select {
	case <-l.lost:
	case <-ctx.Done():
	}
}

// stepDown makes raft a follower, see stepDownEntry.
func (n *Node) stepDown(ctx context.Context) error {
	limit := 2 * n.opts.Election
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := n.do(ctx, func(r *raft.Raft) error {
		return r.ApplyLog(raft.Log{Data: stepDownEntry}, limit).Error()
	})
	if errors.Is(err, errStepDown) || errors.Is(err, raft.ErrNotLeader) {
		return nil
	}
	return err
}

// yield makes this node stand for election later than its peers for a while, so that another is elected.
func (n *Node) yield() {
	n.health.yield(time.Now().Add(n.stallLimit()))
	n.setTimeouts(2)
}

// setTimeouts sets raft's election timeouts to a multiple of the configured ones.
func (n *Node) setTimeouts(factor time.Duration) {
	r := n.raft.Load()
	if r == nil {
		return
	}
	c := r.ReloadableConfig()
	c.HeartbeatTimeout, c.ElectionTimeout = factor*n.opts.Heartbeat, factor*n.opts.Election
	if err := r.ReloadConfig(c); err != nil {
		n.log.Warn("cannot change raft's timeouts", keyError, err)
	}
}
