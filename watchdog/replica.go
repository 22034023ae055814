package watchdog

import (
	"fmt"
	"sync"

	"github.com/understudy-ha/understudy/policy"
)

// replica is this node's copy of the agreed state: the state machine behind the log.
type replica struct {
	mu    sync.RWMutex
	state policy.State
}

func newReplica() *replica { return &replica{state: policy.NewState()} }

// State returns the newest applied state. It is a value that nobody changes.
func (r *replica) State() policy.State {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.state
}

// Apply takes one committed command. Its result is nil or the refusal. A command that this build cannot read stops
// the node: to skip it would be to decide on another state than the others.
func (r *replica) Apply(index uint64, data []byte) any {
	c, err := policy.DecodeCommand(data)
	if err != nil {
		panic(fmt.Sprintf("log entry %d: %v", index, err))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	next, err := policy.Apply(r.state, c)
	if err != nil {
		return err
	}
	r.state = next
	return nil
}

// Snapshot returns the state's persisted form.
func (r *replica) Snapshot() ([]byte, error) { return r.State().Encode() }

// Restore replaces the state by a snapshot.
func (r *replica) Restore(data []byte) error {
	s, err := policy.DecodeState(data)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state = s
	return nil
}
