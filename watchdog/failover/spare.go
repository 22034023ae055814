package failover

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/salvage"
)

// Spare brings one spare copy that is not needed any more to its end, as far as it goes now. It may be called again at any time, by
// any leader.
func (h *Hands) Spare(ctx context.Context, name string, id policy.MemberID) error {
	e := sparer{h: h, name: name, id: id, key: name + " spare " + id.String()}
	for ctx.Err() == nil && h.patience.mayTry(e.key) {
		more, err := e.next(ctx)
		if err != nil || !more {
			return err
		}
	}
	return ctx.Err()
}

// sparer is one Spare under way.
type sparer struct {
	h        *Hands
	name     string
	id       policy.MemberID
	key      string
	refusals int
}

// next reads, makes one move, and reports whether there may be another.
func (e *sparer) next(ctx context.Context) (more bool, err error) {
	state := e.h.o.Journal.State()
	st := state.Streams[e.name]
	due := false
	for _, s := range policy.SparesDue(state, e.name) {
		due = due || s.ID == e.id
	}
	if !due {
		return false, nil
	}
	s := st.Spares[e.id.String()]
	v := policy.SpareViews{Waited: e.h.newestOpen(s.Writes), ArchiveStands: e.h.stands(ctx, s.Tail)}
	_, v.Spare = e.h.lookAround(ctx, st, e.id)
	v.Primary = e.h.look(ctx, st.Primary.Site, st.Primary.Stream, e.h.o.Timeout)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	m := policy.EnsureSpare(st, s, v)
	if m.Kind == policy.MoveArchive {
		if v.Archive, err = e.archive(ctx, st, s, v); err != nil {
			e.h.patience.failed(e.key, longestPause)
			return false, fmt.Errorf("archive %s: %w", e.id, err)
		}
		m = policy.EnsureSpare(st, s, v)
	}
	switch m.Kind {
	case policy.MoveSpare:
		return m.Spare.Waiting == (policy.Reason{}), e.h.propose(ctx, policy.Command{Spare: &m.Spare})
	case policy.MoveSend:
		return e.send(ctx, m)
	}
	e.h.patience.failed(e.key, longestPause) // it is looked at again, ever more seldom
	return false, nil
}

// archive copies what a spare holds beyond the fork to the primary's site, as that of a member.
func (e *sparer) archive(ctx context.Context, st policy.StreamState, s policy.Spare, v policy.SpareViews) (*policy.Tail, error) {
	job := salvage.Job{Name: st.Name, Of: s.Of(), Epoch: s.Stray, Origin: s.ID.String(), UpTo: s.ForkLimit}
	return e.h.archive(ctx, job, s.ID, st.Primary)
}

func (e *sparer) send(ctx context.Context, m policy.Move) (more bool, err error) {
	refused, err := e.h.sendSpare(ctx, e.name, m)
	if err != nil || refused == nil {
		return true, err
	}
	if e.refusals++; e.refusals == maxRefusals {
		pause := e.h.patience.failed(e.key, longestPause)
		e.h.o.Log.Warn("spare copy not deleted", "stream", e.name, "member", e.id.String(), "error", refused, "next_try_in", pause)
	}
	wait(ctx, refusalPause)
	return true, nil
}

// sendSpare logs a write to a spare copy open, makes it, and logs what came back. One that is not answered stays open, and is
// read back.
func (h *Hands) sendSpare(ctx context.Context, name string, m policy.Move) (refused, err error) {
	w, led := m.Write, time.Now()
	if err := h.o.Journal.Propose(ctx, policy.Command{Spare: &m.Spare}); errors.Is(err, policy.ErrRefused) {
		return err, nil
	} else if err != nil {
		return nil, fmt.Errorf("log write %s: %w", w.ID, err)
	}
	failpoint(name, "after-open-"+string(w.Kind))
	_, outcome := h.write(ctx, w, h.o.Timeout, led)
	failpoint(name, "after-send-"+string(w.Kind))
	how := closes(outcome)
	h.o.Log.Debug("write sent", "stream", name, "write", string(w.ID), "member", w.Member.String(), "kind", string(w.Kind), "closed", string(how), "error", outcome)
	if how == "" {
		return nil, ctx.Err()
	}
	c := policy.SpareCommand{Stream: name, Spare: w.Member, Close: w.ID}
	if err := h.propose(ctx, policy.Command{Spare: &c}); err != nil {
		return nil, err
	}
	return outcome, nil
}

// newestOpen is how long these hands have known the newest of a spare copy's open writes.
func (h *Hands) newestOpen(writes []policy.Write) time.Duration {
	if len(writes) == 0 {
		return 0
	}
	return h.oldestOpen(writes[len(writes)-1:])
}
