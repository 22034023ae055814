package watchdog

import (
	"maps"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/salvage"
)

// live is what only the leader knows: the newest round of every stream, logged or not, and who reports.
type live struct {
	journal *journal
	kicked  chan string // streams that a person has just set something to do for
	// progress is how far the archive of a member's tail is.
	progress func(policy.MemberID) (salvage.Progress, bool)

	mu      sync.RWMutex
	rounds  map[string]timedRound
	hashes  map[string]string    // config hash by watchdog
	freshAt map[string]time.Time // newest fresh report by watchdog
}

type timedRound struct {
	policy.StreamRound
	at time.Time
}

func newLive(j *journal, progress func(policy.MemberID) (salvage.Progress, bool)) *live {
	return &live{journal: j, progress: progress, kicked: make(chan string, 16), rounds: map[string]timedRound{}, hashes: map[string]string{}, freshAt: map[string]time.Time{}}
}

// kick has a stream acted on at once, not with its next round.
func (l *live) kick(stream string) {
	select {
	case l.kicked <- stream:
	default: // its next round will do
	}
}

func (l *live) set(rounds map[string]policy.StreamRound) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, r := range rounds {
		l.rounds[name] = timedRound{StreamRound: r, at: time.Now()}
	}
}

func (l *live) heard(reports []policy.Report, term, round uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range reports {
		if r.Term == term && r.Round == round {
			l.hashes[r.Node], l.freshAt[r.Node] = r.ConfigHash, time.Now()
		}
	}
}

func (l *live) round(name string) (timedRound, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	r, ok := l.rounds[name]
	return r, ok
}

func (l *live) peers() (hashes map[string]string, freshAt map[string]time.Time) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return maps.Clone(l.hashes), maps.Clone(l.freshAt)
}

// setLive makes l the service's leader's view.
func (s *service) setLive(l *live) *live {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.live = l
	return l
}

func (s *service) clearLive(l *live) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live == l {
		s.live = nil
	}
}

// leading returns the leader's view while this node leads.
func (s *service) leading() (*live, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.live, s.live != nil
}
