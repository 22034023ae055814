package election

import (
	"fmt"
	"io"
	"runtime/debug"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// StateMachine is what the log drives. Its three methods are never called at the same time.
type StateMachine interface {
	// Apply executes one committed command. It must be total and deterministic: every node applies the same commands
	// in the same order and must end in the same state. It must not change data. Its result goes to the proposer.
	Apply(index uint64, data []byte) any
	// Snapshot returns the whole state; the bytes belong to the caller.
	Snapshot() ([]byte, error)
	// Restore replaces the whole state by one that Snapshot returned.
	Restore(data []byte) error
}

// fsm adapts a StateMachine to raft: it opens the envelopes, and stops the node at the first one it cannot open,
// because a skipped command would let this node's state differ from its peers' forever.
type fsm struct {
	machine StateMachine
	fatal   func(error)
	failed  atomic.Bool
}

// Apply implements raft.FSM.
func (f *fsm) Apply(entry *raft.Log) any {
	if f.failed.Load() {
		return errStopped
	}
	payload, err := unseal(kindCommand, entry.Data)
	if err != nil {
		return f.fail(fmt.Errorf("log entry %d of term %d: %w", entry.Index, entry.Term, err))
	}
	result, err := f.apply(entry.Index, payload)
	if err != nil {
		return f.fail(err)
	}
	return result
}

// apply turns a panic of the state machine into an error: raft would end the process without a word about which
// entry did it.
func (f *fsm) apply(index uint64, payload []byte) (result any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("log entry %d: the state machine panicked: %v\n%s", index, p, debug.Stack())
		}
	}()
	return f.machine.Apply(index, payload), nil
}

func (f *fsm) fail(err error) error {
	f.failed.Store(true)
	f.fatal(err)
	return errStopped
}

// Snapshot implements raft.FSM.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	if f.failed.Load() {
		return nil, errStopped
	}
	payload, err := f.machine.Snapshot()
	if err != nil {
		return nil, fmt.Errorf("snapshot the state machine: %w", err)
	}
	return snapshot(payload), nil
}

// Restore implements raft.FSM. An error leaves the state machine undefined, so it stops the node: raft alone would
// fall back to an older snapshot, or go on without.
func (f *fsm) Restore(r io.ReadCloser) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return f.fail(fmt.Errorf("read a snapshot: %w", err))
	}
	payload, err := unseal(kindSnapshot, b)
	if err != nil {
		return f.fail(fmt.Errorf("open a snapshot: %w", err))
	}
	if err := f.machine.Restore(payload); err != nil {
		return f.fail(fmt.Errorf("restore the state machine from a snapshot: %w", err))
	}
	return nil
}

// snapshot is a state that waits to be written.
type snapshot []byte

// Persist implements raft.FSMSnapshot.
func (s snapshot) Persist(sink raft.SnapshotSink) error {
	if _, err := sink.Write(seal(kindSnapshot, s)); err != nil {
		return fmt.Errorf("write snapshot %s: %w", sink.ID(), err)
	}
	return sink.Close()
}

// Release implements raft.FSMSnapshot.
func (snapshot) Release() {}
