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
	// readyTimeout limits one write probe on a freshly promoted target.
	readyTimeout = 100 * time.Millisecond
	// originPause is the time between two looks at the origin.
	originPause = 50 * time.Millisecond
)

// originWatch looks at the origin beside the steps, all the time: a dead origin in a shared meta group answers by
// silence, and a step that waited for that each time would be slow, while one that did not look would be blind.
type originWatch struct {
	first chan struct{} // closed after the first whole look
	mu    sync.Mutex
	view  policy.View
}

// watchOrigin looks until ctx ends, through the origin's own site and, in a shared meta group, the target's.
func (h *Hands) watchOrigin(ctx context.Context, a policy.Attempt) (*originWatch, func()) {
	o := &originWatch{first: make(chan struct{}), view: policy.View{Evidence: policy.NotLooked}}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		for first := true; ctx.Err() == nil; first = false {
			view := h.lookAtOrigin(ctx, a)
			if ctx.Err() != nil {
				return
			}
			o.mu.Lock()
			o.view = view
			o.mu.Unlock()
			if first {
				close(o.first)
			}
			wait(ctx, originPause)
		}
	})
	return o, func() { cancel(); wg.Wait() }
}

// lookAtOrigin merges the paths: an answer on any is an answer; otherwise the meta group's word counts, then silence.
func (h *Hands) lookAtOrigin(ctx context.Context, a policy.Attempt) policy.View {
	var own, shared policy.View
	var wg sync.WaitGroup
	wg.Go(func() { own = h.look(ctx, a.From.Site, a.From.Stream, originTimeout) })
	if a.Shared {
		wg.Go(func() { shared = h.look(ctx, a.Target.Site, a.From.Stream, originTimeout) })
	}
	wg.Wait()
	if !a.Shared || own.Evidence == policy.Answered || own.Evidence == policy.AnsweredParked {
		return own
	}
	return shared
}

// latest is the newest look; the first one is waited for.
func (o *originWatch) latest(ctx context.Context) policy.View {
	select {
	case <-o.first:
	case <-ctx.Done():
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.view
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
