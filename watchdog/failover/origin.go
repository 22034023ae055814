package failover

import (
	"context"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/policy"
)

const (
	// originTimeout limits one look at an origin that is believed dead: an answer comes in milliseconds or not at all.
	originTimeout = 250 * time.Millisecond
	// offlineTimeout limits a question whose answer may be that the origin's servers are known to be offline: the meta
	// group takes half a second to say so, to a look as to a write.
	offlineTimeout = time.Second
	// readyTimeout limits the write probes on a freshly promoted target, readyPause is the time between two of them.
	readyTimeout = 100 * time.Millisecond
	readyPause   = 5 * time.Millisecond
	// originPause is the time between two looks at the origin.
	originPause = 50 * time.Millisecond
)

// originWatch looks at the origin beside the steps, all the time: a dead origin in a shared meta group answers by
// silence, and a step that waited for that each time would be slow, while one that did not look would be blind. Each
// path has a loop of its own, so that a slow one does not hold up the other.
type originWatch struct {
	first       chan struct{} // closed after the first whole look
	once        sync.Once
	mu          sync.Mutex
	shared      bool // there is a second path
	own, beside policy.View
}

// watchOrigin looks until ctx ends, through the origin's own site and, in a shared meta group, the target's.
func (h *Hands) watchOrigin(ctx context.Context, a policy.Attempt) (*originWatch, func()) {
	unseen := policy.View{Evidence: policy.NotLooked}
	o := &originWatch{first: make(chan struct{}), shared: a.Shared, own: unseen, beside: unseen}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	watch := func(view *policy.View, via string, first, later time.Duration) {
		wg.Go(func() {
			for timeout := first; ctx.Err() == nil; timeout = later {
				v := h.look(ctx, via, a.From.Stream, timeout)
				if ctx.Err() != nil {
					return
				}
				o.set(view, v)
				wait(ctx, originPause)
			}
		})
	}
	watch(&o.own, a.From.Site, originTimeout, originTimeout)
	if a.Shared {
		first := originTimeout // of a fresh attempt: its fence must not be late
		if a.Waiting.Code != policy.InProgress {
			first = offlineTimeout
		}
		watch(&o.beside, a.Target.Site, first, offlineTimeout)
	}
	return o, func() { cancel(); wg.Wait() }
}

// set takes a look of one path. An answer is a whole look, else every path must have been tried once.
func (o *originWatch) set(view *policy.View, v policy.View) {
	o.mu.Lock()
	defer o.mu.Unlock()
	*view = v
	tried := o.own.Evidence != policy.NotLooked && (!o.shared || o.beside.Evidence != policy.NotLooked)
	if tried || answers(v) {
		o.once.Do(func() { close(o.first) })
	}
}

// offline notes that the meta group has refused a write to the origin because its servers are offline.
func (o *originWatch) offline() { o.set(&o.beside, policy.View{Evidence: policy.Offline}) }

func answers(v policy.View) bool {
	return v.Evidence == policy.Answered || v.Evidence == policy.AnsweredParked
}

// merged: an answer on any path is an answer; otherwise the meta group's word counts, then silence.
func (o *originWatch) merged() policy.View {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.shared || answers(o.own) || o.beside.Evidence == policy.NotLooked {
		return o.own
	}
	return o.beside
}

// latest is the newest look; the first one is waited for.
func (o *originWatch) latest(ctx context.Context) policy.View {
	select {
	case <-o.first:
	case <-ctx.Done():
	}
	return o.merged()
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
