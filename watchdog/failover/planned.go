package failover

import (
	"context"
	"sync"

	"github.com/understudy-ha/understudy/policy"
)

// readPlanned takes the views of a switchover. Publishers wait for what comes of it, so only what the phase needs is read,
// and the primary afresh each time.
func (h *Hands) readPlanned(ctx context.Context, st policy.StreamState) policy.Views {
	a := st.Attempt
	v := policy.Views{Members: map[string]policy.View{}}
	if a.Phase == policy.PhaseConfirm {
		h.warm(ctx, a)
	}
	var wg sync.WaitGroup
	if a.ParkOpened && (a.Phase == policy.PhaseFence || a.Phase == policy.PhaseDrain) {
		wg.Go(func() { v.Drained, v.DrainedKnown = h.drained(ctx, st) }) // a look that came too early shows less, and is taken again
	}
	var from, target policy.View
	wg.Go(func() { target, v.Ready = h.readTarget(ctx, a) })
	wg.Go(func() {
		var via string
		via, from = h.lookAround(ctx, st, a.From)
		from.Via = via
	})
	if a.PromoteOpened { // until then nobody asks who holds the subjects: the primary does
		wg.Go(func() { v.Owners, v.OwnersEvidence = h.owners(ctx, *a) })
	}
	wg.Wait()
	if !a.PromoteOpened && from.Snapshot != nil && target.Snapshot != nil && target.Snapshot.LastSeq < from.Snapshot.LastSeq {
		v.Newest = h.newest(ctx, from.Via, a.From.Stream, target.Snapshot.LastSeq) // after the look: what was under way then is stored by now
	}
	v.Members[a.Target.String()], v.Members[a.From.String()] = target, from
	return v
}

// newest is how far a mirror that stands at a sequence has its primary's newest message: up to there, if the primary holds
// nothing after it. nil when it does, or does not answer.
func (h *Hands) newest(ctx context.Context, via, primary string, at uint64) *uint64 {
	ctx, cancel := context.WithTimeout(ctx, h.o.Timeout)
	defer cancel()
	conn, err := h.reader(ctx, via)
	if err != nil {
		return nil
	}
	if more, err := conn.HoldsFrom(ctx, primary, at+1); more || err != nil {
		return nil
	}
	return &at
}

// warm makes the connections that the switchover writes by, before anything waits for it. What cannot be connected now
// fails again, and is told, when it is used.
func (h *Hands) warm(ctx context.Context, a *policy.Attempt) {
	var wg sync.WaitGroup
	for _, site := range []string{a.From.Site, a.Target.Site} {
		wg.Go(func() { _, _ = h.writer(ctx, site) })
	}
	wg.Wait()
}

// drained asks the parked primary how far it got. Before the park has taken effect nobody answers.
func (h *Hands) drained(ctx context.Context, st policy.StreamState) (last uint64, known bool) {
	id := st.Attempt.From
	for _, via := range append([]string{id.Site}, st.SitesBeside(id)...) {
		asked, cancel := context.WithTimeout(ctx, h.o.Timeout)
		conn, err := h.reader(asked, via)
		if err == nil {
			last, err = conn.Barrier(asked, policy.ParkSubject(id))
		}
		cancel()
		if err == nil {
			return last, true
		}
	}
	return 0, false
}
