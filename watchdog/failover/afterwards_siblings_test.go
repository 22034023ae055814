//go:build failpoint

package failover_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// siblingPace is how often the siblings are looked at, lookToDelete how long a watchdog may take from its last look at one to
	// the delete: what a sibling got before that must be archived.
	siblingPace  = 250 * time.Millisecond
	lookToDelete = 3 * time.Second
)

// sighting is how many messages a sibling held at a time.
type sighting struct {
	at   time.Time
	held int
}

// siblings are what was seen of the mirrors at eu while they followed their old origin, by guarded stream.
type siblings struct {
	stop, ended chan struct{}
	seen        map[string][]sighting // not to be read before the watch has ended
}

// watchSiblings looks at the mirrors that are to be re-pointed, until they are made anew or the watch is ended: nothing else tells
// later what one held when it was deleted.
func (w *afterwards) watchSiblings(ctx context.Context, t *testing.T) {
	t.Helper()
	js, left := w.js(ctx, t, "eu"), slices.Clone(w.sets[setRepoint])
	w.siblings = &siblings{stop: make(chan struct{}), ended: make(chan struct{}), seen: map[string][]sighting{}}
	go w.siblings.watch(ctx, js, left)
}

func (s *siblings) watch(ctx context.Context, js jetstream.JetStream, left []guarded) {
	defer close(s.ended)
	for len(left) > 0 {
		left = slices.DeleteFunc(left, func(g guarded) bool { return s.look(ctx, js, g) })
		select {
		case <-s.stop:
			return
		case <-time.After(siblingPace):
		}
	}
}

// look notes what a sibling holds, and says whether it has been made anew.
func (s *siblings) look(ctx context.Context, js jetstream.JetStream, g guarded) (remade bool) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	stream, err := js.Stream(ctx, g.Mirrors["eu"])
	if err != nil {
		return false // deleted, or silent
	}
	i := stream.CachedInfo()
	if i.Config.Mirror == nil || i.Config.Mirror.Name != g.Name {
		return true
	}
	s.seen[g.Name] = append(s.seen[g.Name], sighting{time.Now(), int(i.State.Msgs)})
	return false
}

func (s *siblings) end() {
	close(s.stop)
	<-s.ended
}

// heldAtDelete is what a sibling held at least when a watchdog looked at it before deleting it.
func (s *siblings) heldAtDelete(name string) int {
	seen := s.seen[name]
	if len(seen) == 0 {
		return 0
	}
	last, held := seen[len(seen)-1].at, seen[0].held
	for _, x := range seen {
		if last.Sub(x.at) >= lookToDelete {
			held = x.held
		}
	}
	return held
}
