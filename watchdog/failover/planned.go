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
	if a.ParkOpened && (a.Phase == policy.PhaseFence || a.Phase == policy.PhaseDrain) {
		v.Drained, v.DrainedKnown = h.drained(ctx, st) // before the looks: they show what came of it
	}
	var wg sync.WaitGroup
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
	v.Members[a.Target.String()], v.Members[a.From.String()] = target, from
	return v
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
