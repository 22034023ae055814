package watchdog

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/policy"
)

// journal is the log as one term's leader writes it: every command is stamped here, and what it entered into the
// history is told.
type journal struct {
	s    *service
	term uint64

	mu   sync.Mutex
	told uint64 // Seq of the newest entry that was told
	*teller
}

func newJournal(s *service, term uint64) *journal {
	return &journal{s: s, term: term, told: s.replica.State().EntrySeq, teller: newTeller(s)}
}

// State is the newest state that this node has applied.
func (j *journal) State() policy.State { return j.s.replica.State() }

// VerifyLeader asks a majority whether this node still leads.
func (j *journal) VerifyLeader(ctx context.Context) error { return j.s.node.VerifyLeader(ctx) }

// Propose commits a command. It returns the refusal when the state machine does not take it.
func (j *journal) Propose(ctx context.Context, c policy.Command) error {
	c.At, c.By = time.Now().UTC(), j.s.o.Config.Node
	data, err := c.Encode()
	if err != nil {
		return fmt.Errorf("encode command: %w", err)
	}
	result, err := j.s.node.Propose(ctx, data)
	if err != nil {
		return err
	}
	if refusal, ok := result.(error); ok {
		return refusal
	}
	j.tellNew()
	return nil
}

// tellNew tells every entry that the history gained since the last call, once.
func (j *journal) tellNew() {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.State()
	for _, e := range s.History {
		if e.Seq > j.told {
			j.told = e.Seq
			j.tell(s, e)
		}
	}
}
