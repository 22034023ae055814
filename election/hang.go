package election

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

const (
	// hangLimit ends a node whose disk has not answered a write for so long: it can be started anew, or stay away, but
	// must not look alive.
	hangLimit = time.Minute
	// shutdownTimeout bounds the wait for a raft that hangs in its disk. What it holds is released when the disk answers.
	shutdownTimeout = 10 * time.Second
)

// errHangs is wrapped by the error about a write that does not return.
var errHangs = errors.New("the disk hangs")

// writes are the store's writes that have not returned yet. A disk that hangs neither fails nor returns, and raft's
// heartbeats go on meanwhile: nothing but the time of a write tells.
type writes struct {
	mu    sync.Mutex
	last  uint64
	begun map[uint64]time.Time
}

// do runs one write.
func (w *writes) do(write func() error) error {
	defer w.end(w.begin())
	return guard(write)
}

func (w *writes) begin() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.begun == nil {
		w.begun = make(map[uint64]time.Time)
	}
	w.last++
	w.begun[w.last] = time.Now()
	return w.last
}

func (w *writes) end(id uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.begun, id)
}

// longest is how long the oldest of them has lasted; 0 without any.
func (w *writes) longest() (d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, since := range w.begun {
		d = max(d, time.Since(since))
	}
	return d
}

// trouble is why the store cannot write now, or nil: a write that has lasted longer than limit, or the last one's
// failure.
func (s *store) trouble(limit time.Duration) error {
	if d := s.writes.longest(); d > limit {
		return fmt.Errorf("write %s: no answer for %v: %w", s.path, d.Round(time.Second), errHangs)
	}
	if err := s.failing.Load(); err != nil {
		return *err
	}
	return nil
}

// hangs reports whether a write has lasted for too long.
func (s *store) hangs(limit time.Duration) bool { return errors.Is(s.trouble(limit), errHangs) }

// stallLimit is how long a commit or a write may last before this node is no good as a leader.
func (n *Node) stallLimit() time.Duration {
	return time.Duration(n.opts.StallAfter) * n.opts.Election
}

// cutOff takes leadership from a raft that gives no answer. Its heartbeats go on while its main goroutine hangs, and
// would keep the peers from an election for ever: so its connections are cut, and it may open no more until it is the
// leader no longer. Should it come back before the peers have elected another, its lease has run out.
func (n *Node) cutOff(log *slog.Logger, l *lease) {
	log.Error("raft does not answer; cutting the connections to the peers, so that they elect another",
		keyError, n.store.trouble(n.stallLimit()))
	l.lose() // before the peers can notice: the work ends before another's begins
	n.stream.bar()
}

// noAnswer tells the errors of a raft whose main goroutine takes nothing.
func noAnswer(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, raft.ErrEnqueueTimeout)
}
