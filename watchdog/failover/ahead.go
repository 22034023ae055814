package failover

import (
	"context"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/consumers"
	"github.com/understudy-ha/understudy/watchdog/dedup"
)

// ahead is what the phases after the promote of a switchover want to know, read before publishers wait for it, or while
// something else is waited for.
type ahead struct {
	follower *dedup.Follower // of the target's message ids, from before the park on; nil when that failed
	reading  sync.WaitGroup
	// ids are the target's newest message ids; nil when they were not read.
	ids *dedup.Ids
	// noneAt is when the old primary had no durable consumers; zero when it had some, or nobody knows.
	noneAt time.Time
	began  bool // readAhead
	// views were read at viewed, while the ids were seeded; nil when there are none, or they have been used.
	views  *policy.Views
	viewed time.Time
}

// beginAhead begins what is read ahead, beside a first write. A park may be needed again once the target is promoted.
func (s *stepper) beginAhead(ctx context.Context, a policy.Attempt, m policy.Move) {
	switch {
	case m.Resend:
	case m.Write.Kind == policy.WritePark && !a.ParkOpened:
		s.followIds(ctx, a)
	case m.Write.Kind == policy.WritePromote && !a.PromoteOpened:
		s.readAhead(ctx, a)
	}
}

// followIds begins to follow the target's message ids, before the park. What fails here is read again when it is wanted.
func (s *stepper) followIds(ctx context.Context, a policy.Attempt) {
	most := a.Seeds()
	if most == 0 || s.ahead.follower != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.h.o.Timeout)
	defer cancel()
	conn, err := s.h.writer(ctx, a.Target.Site)
	if err == nil {
		s.ahead.follower, err = dedup.Follow(ctx, conn, dedup.Job{Member: a.Target, MaxIDs: most})
	}
	if err != nil {
		s.h.o.Log.Debug("message ids not read ahead", "stream", s.stream, "error", err)
	}
}

// readAhead begins the reading, once the old primary is parked and the target drained: both stay as they are. Step waits for
// its end. What fails here is read again when it is wanted.
func (s *stepper) readAhead(ctx context.Context, a policy.Attempt) {
	x := &s.ahead
	if x.began {
		return
	}
	x.began = true
	x.reading.Go(func() {
		if s.followIds(ctx, a); x.follower == nil { // it was not this step that sent the park
			return
		}
		defer x.follower.Close() // or it would be handed the seeds
		var err error
		if x.ids, err = x.follower.Ids(ctx, a.LastSeq); err != nil {
			s.h.o.Log.Debug("message ids not read ahead", "stream", s.stream, "error", err)
		}
	})
	x.reading.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, s.h.o.Timeout)
		defer cancel()
		conn, err := s.h.writer(ctx, a.From.Site)
		if err != nil {
			return
		}
		if snap, err := consumers.Take(ctx, conn, a.From); err == nil && len(snap.Consumers)+len(snap.Missing) == 0 {
			x.noneAt = snap.At
		}
	})
}

// readBefore waits for what was read ahead: nothing, if it was not this step that sent the promote.
func (s *stepper) readBefore() *ahead {
	s.ahead.reading.Wait()
	return &s.ahead
}

// endAhead ends the following, if there is one.
func (s *stepper) endAhead() {
	s.readBefore()
	if f := s.ahead.follower; f != nil {
		f.Close() // once more does nothing
	}
}
