package failover

import (
	"context"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/consumers"
	"github.com/understudy-ha/understudy/watchdog/dedup"
)

// ahead is what the phases after the promote of a switchover want to know, read while that is logged and sent: the old
// primary is parked and the target drained by then, so it stays as it is.
type ahead struct {
	reading sync.WaitGroup
	// ids are the target's newest message ids; nil when they were not read.
	ids *dedup.Ids
	// noneAt is when the old primary had no durable consumers; zero when it had some, or nobody knows.
	noneAt time.Time
}

// readAhead begins the reading; Step waits for its end. What fails here is read again when it is wanted.
func (s *stepper) readAhead(ctx context.Context, a policy.Attempt) {
	x := &ahead{}
	s.ahead = x
	x.reading.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, s.h.o.Timeout)
		defer cancel()
		conn, err := s.h.writer(ctx, a.Target.Site)
		if most := a.Seeds(); most > 0 && err == nil {
			x.ids, err = dedup.Gather(ctx, conn, dedup.Job{Member: a.Target, MaxIDs: most, LastSeq: a.LastSeq})
		}
		if err != nil {
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
	if s.ahead == nil {
		s.ahead = &ahead{}
	}
	s.ahead.reading.Wait()
	return s.ahead
}
