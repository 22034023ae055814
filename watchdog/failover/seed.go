package failover

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/dedup"
)

const (
	// seedTries is how often a seeding is tried: a bound stream without seeds is worth more than none.
	seedTries = 3
	// seedPatience is how long after its begin it is tried again.
	seedPatience = 10 * time.Second
	// plannedSeedBudget limits the seeding of a switchover, whose publishers wait for it.
	plannedSeedBudget = time.Second
)

// seed makes the promoted target know the newest message ids that it holds. What comes of it goes into the next views. In
// a switchover nothing is logged for it: where the target stood is in the log since the drain.
func (s *stepper) seed(ctx context.Context, st policy.StreamState, maxIDs int) error {
	a := st.Attempt
	job := dedup.Job{Member: a.Target, MaxIDs: maxIDs, LastSeq: a.LastSeq}
	if a.Kind == policy.KindSwitchover {
		job.Budget, job.Gathered, job.Fresh = plannedSeedBudget, s.readBefore().ids, s.promoted
		s.promoted = nil
		defer s.readWhile(ctx, st)()
	} else {
		if err := s.flush(ctx); err != nil {
			return err
		}
		job.Outage = a.Outage + time.Since(a.BeganAt)
	}
	failpoint(s.stream, "before-seed")
	account, err := s.seedOnce(ctx, a.Target.Site, job)
	failpoint(s.stream, "after-seed")
	switch {
	case err == nil:
		s.seeded = &policy.SeedRecord{Seeded: account.Seeded, Known: account.Known, LeftOut: account.LeftOut, Why: account.Why,
			Skipped: account.Skipped, Burned: burned(a, account), Took: account.Took}
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	s.h.o.Log.Warn("message ids not seeded", "stream", s.stream, "member", a.Target.String(), "error", err)
	if s.seedFailures++; s.seedFailures >= seedTries || time.Since(s.began) > seedPatience {
		s.seeded = &policy.SeedRecord{Skipped: err.Error()}
	}
	return nil
}

// freshViews is how old views may be that were taken while the ids were seeded.
const freshViews = 100 * time.Millisecond

// readWhile takes the next views while something else is done: the function that it returns waits for them.
func (s *stepper) readWhile(ctx context.Context, st policy.StreamState) (wait func()) {
	var reading sync.WaitGroup
	s.ahead.viewed = time.Now()
	reading.Go(func() {
		v := s.h.read(ctx, st, s.origin)
		s.ahead.views = &v
	})
	return reading.Wait
}

// readMeanwhile returns the views that were read so, once, unless the seeding failed or took long.
func (s *stepper) readMeanwhile() (v policy.Views, read bool) {
	views := s.ahead.views
	s.ahead.views = nil
	if views == nil || s.seeded == nil || time.Since(s.ahead.viewed) > freshViews {
		return v, false
	}
	return *views, true
}

// readReply makes of the reply to the promote what there is to be known for the seeding, which is next: publishers wait. Seeds that
// nobody takes yet are sent again, as any that are not acked.
func (s *stepper) readReply(a *policy.Attempt) (v policy.Views, read bool) {
	if s.promoted == nil || a.Phase != policy.PhasePromote || a.Seeds() == 0 {
		return v, false
	}
	view := viewOf(s.promoted)
	return policy.Views{Members: map[string]policy.View{a.Target.String(): view}, Ready: true}, view.Evidence == policy.AnsweredParked
}

func (s *stepper) seedOnce(ctx context.Context, site string, job dedup.Job) (dedup.Account, error) {
	conn, err := s.h.writer(ctx, site)
	if err != nil {
		return dedup.Account{}, err
	}
	if err := s.h.verifySince(ctx, s.led); err != nil {
		return dedup.Account{}, fmt.Errorf("not sent: %w", err)
	}
	if job.MaxIDs == 0 {
		return dedup.Account{Skipped: "it was bound before they were all known"}, dedup.Clean(ctx, conn, job.Member)
	}
	return dedup.Seed(ctx, conn, job)
}

// burned is how many sequences seeds have taken since the promotion: a leader before this one may have seeded, too.
func burned(a *policy.Attempt, account dedup.Account) uint64 {
	return max(account.Burned, account.LastSeq-min(account.LastSeq, a.LastSeq))
}
