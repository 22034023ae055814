package failover

import (
	"sync"
	"time"
)

// The pause after a step or a repair whose writes the server kept refusing doubles from the first to the longest.
const (
	firstPause   = time.Second
	longestPause = 30 * time.Second
	// capturePause is the longest while a retired origin takes messages and its servers, which find together again, have
	// no meta leader: every second more is one in which both capture.
	capturePause = firstPause
)

// patience keeps what a server refuses from being tried again at every tick: each try is an entry in the log.
type patience struct {
	mu   sync.Mutex
	next map[string]time.Time
	last map[string]time.Duration
}

func newPatience() *patience {
	return &patience{next: map[string]time.Time{}, last: map[string]time.Duration{}}
}

// mayTry says whether the pause after the last failure is over.
func (p *patience) mayTry(key string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !time.Now().Before(p.next[key])
}

// failed begins a pause of at most longest, and returns its length.
func (p *patience) failed(key string, longest time.Duration) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := min(max(2*p.last[key], firstPause), longest)
	p.last[key], p.next[key] = d, time.Now().Add(d)
	return d
}

// worked forgets the failures.
func (p *patience) worked(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.last, key)
	delete(p.next, key)
}
