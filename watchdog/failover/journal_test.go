package failover

import (
	"context"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/policy"
)

// journalOfOne is a log without other watchdogs.
type journalOfOne struct {
	mu    sync.Mutex
	state policy.State
}

func (j *journalOfOne) State() policy.State {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.state
}

func (j *journalOfOne) Propose(_ context.Context, c policy.Command) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	c.Version, c.At, c.By = policy.FormatVersion, time.Now(), "wd"
	next, err := policy.Apply(j.state, c)
	if err == nil {
		j.state = next
	}
	return err
}

func (j *journalOfOne) VerifyLeader(context.Context) error { return nil }
