package failover

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/jsapi"
	"github.com/understudy-ha/understudy/watchdog/salvage"
)

// Care carries the care of one member on, as far as it goes now: what it waits for is left to the next call. It may be
// called again at any time, by any leader. It returns ErrUnreached when the member does not answer.
func (h *Hands) Care(ctx context.Context, sr policy.StreamRules, id policy.MemberID) error {
	c := carer{h: h, sr: sr, id: id, key: sr.Name + " care of " + id.String(), began: time.Now()}
	for ctx.Err() == nil && h.patience.mayTry(c.key) {
		more, err := c.next(ctx)
		if err != nil || !more {
			return err
		}
	}
	return ctx.Err()
}

// carer is one Care under way.
type carer struct {
	h        *Hands
	sr       policy.StreamRules
	id       policy.MemberID
	key      string
	phase    policy.Phase
	began    time.Time // of the phase, as far as this call saw it
	silent   bool      // the member or the primary did not answer at the last look
	refusals int
}

// next reads, makes one move, and reports whether there may be another.
func (c *carer) next(ctx context.Context) (more bool, err error) {
	s := c.h.o.Journal.State()
	st, ok := s.Streams[c.sr.Name]
	if !ok || st.Attempt != nil || s.Held(c.sr.Name) {
		return false, nil
	}
	if care := st.Aftercare[c.id.String()]; care.Phase != c.phase {
		c.phase, c.began = care.Phase, time.Now()
	}
	v := c.read(ctx, st)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	m := policy.EnsureCare(st, c.sr, c.h.o.Node, c.id, v)
	if m.Kind == policy.MoveArchive || m.Kind == policy.MoveReplay {
		if err := c.copy(ctx, st, m.Kind, &v); err != nil {
			c.h.patience.failed(c.key, longestPause)
			return false, err
		}
		m = policy.EnsureCare(st, c.sr, c.h.o.Node, c.id, v)
	}
	switch m.Kind {
	case policy.MoveClose:
		return true, c.h.propose(ctx, policy.Command{Close: &m.Close})
	case policy.MoveCare:
		return c.result(ctx, st, m.Care)
	case policy.MoveSpare:
		return true, c.h.propose(ctx, policy.Command{Spare: &m.Spare})
	case policy.MoveSend:
		return c.send(ctx, st, m)
	}
	return false, nil
}

// read takes the views that the next move may need. The primary is read first: what it holds then, a mirror that has caught
// up holds too.
func (c *carer) read(ctx context.Context, st policy.StreamState) policy.CareViews {
	v := policy.CareViews{Waited: c.h.openFor(st, c.id)}
	v.Primary = c.h.look(ctx, st.Primary.Site, st.Primary.Stream, c.h.o.Timeout)
	_, v.Member = c.h.lookAround(ctx, st, c.id)
	c.silent = !answers(v.Primary) || !answers(v.Member) && v.Member.Evidence != policy.NotFound
	copied := v.Member.Snapshot
	care := st.Aftercare[c.id.String()]
	if care.Phase == policy.PhaseDelete {
		v.Listed = c.h.listed(ctx, c.id)
		v.ArchiveStands = c.h.stands(ctx, care.Tail)
		c.readCopies(ctx, st, &v)
		copied = v.Spare.Snapshot
	}
	catches := care.Phase == policy.PhaseCatchUp || v.Spare.Snapshot != nil
	if catches && copied != nil && v.Primary.Snapshot != nil && copied.LastSeq < v.Primary.Snapshot.LastSeq {
		v.Newest = c.h.newest(ctx, st.Primary.Site, st.Primary.Stream, copied.LastSeq)
	}
	return v
}

// readCopies looks for what holds, beside the primary, what a mirror holds that is about to be deleted.
func (c *carer) readCopies(ctx context.Context, st policy.StreamState, v *policy.CareViews) {
	care := st.Aftercare[c.id.String()]
	if care.Kind != policy.CareRepoint {
		return
	}
	v.Others = map[string]policy.View{}
	for _, id := range st.Others(c.id) {
		_, v.Others[id.String()] = c.h.lookAround(ctx, st, id)
	}
	if care.Spare != (policy.MemberID{}) {
		_, v.Spare = c.h.lookAround(ctx, st, care.Spare)
		v.SpareWaited = c.h.newestOpen(st.Spares[care.Spare.String()].Writes)
	}
}

// openFor is how long these hands have known an open delete of a member.
func (h *Hands) openFor(st policy.StreamState, id policy.MemberID) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range st.OpenWrites() {
		if w.Member != id || w.Kind != policy.WriteDelete {
			continue
		}
		if _, known := h.deletes[w.ID]; !known {
			h.deletes[w.ID] = time.Now()
		}
		return time.Since(h.deletes[w.ID])
	}
	return 0
}

// listed asks whether a member's meta group lists it under its parked subject.
func (h *Hands) listed(ctx context.Context, id policy.MemberID) bool {
	ctx, cancel := context.WithTimeout(ctx, h.o.Timeout)
	defer cancel()
	conn, err := h.reader(ctx, id.Site)
	if err != nil {
		return false
	}
	names, err := conn.Names(ctx, policy.ParkSubject(id))
	for _, name := range names {
		if err == nil && name == id.Stream {
			return true
		}
	}
	return false
}

// stands looks whether the archive of an account is there, and as many messages in it: nothing was removed.
func (h *Hands) stands(ctx context.Context, t *policy.Tail) bool {
	if t == nil || t.Stream == "" {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, h.o.Timeout)
	defer cancel()
	conn, err := h.reader(ctx, t.Site)
	if err != nil {
		return false
	}
	info, err := conn.Info(ctx, t.Stream)
	return err == nil && info.State.Messages >= t.Messages && info.State.FirstSeq == 1 && info.State.NumDeleted == 0
}

// copy makes the archive, or publishes it again; the account goes into the views.
func (c *carer) copy(ctx context.Context, st policy.StreamState, kind policy.MoveKind, v *policy.CareViews) (err error) {
	if kind == policy.MoveReplay {
		v.Replayed, err = c.replay(ctx, st)
		return err
	}
	v.Archive, err = c.archive(ctx, st, *v)
	return err
}

// replay publishes what an archive holds and the primary lacks.
func (c *carer) replay(ctx context.Context, st policy.StreamState) (*policy.Replay, error) {
	tail := st.Aftercare[c.id.String()].Tail
	from, err := c.h.side(ctx, policy.MemberID{Site: tail.Site, Stream: tail.Stream})
	if err != nil {
		return nil, err
	}
	defer from.Conn.Close()
	to, err := c.h.side(ctx, st.Primary)
	if err != nil {
		return nil, err
	}
	defer to.Conn.Close()
	failpoint(st.Name, "before-replay")
	r, err := salvage.Replay(ctx, salvage.ReplayJob{Archive: from, Primary: to, Progress: func(p salvage.Progress) {
		failpoint(st.Name, "in-"+p.Stage)
		c.h.progressed(c.id, p)
	}})
	failpoint(st.Name, "after-replay")
	if err != nil {
		return nil, err
	}
	return &policy.Replay{Replayed: r.Replayed, OnPrimary: r.OnPrimary, Already: r.Already, Superseded: r.Superseded, Failed: r.Failed}, nil
}

// archive copies the member's tail to the primary's site, and proves the copy.
func (c *carer) archive(ctx context.Context, st policy.StreamState, v policy.CareViews) (*policy.Tail, error) {
	m, care := st.Members[c.id.String()], st.Aftercare[c.id.String()]
	job := salvage.Job{Name: st.Name, Of: care.Of(), Epoch: care.Epoch, Origin: c.id.String(), UpTo: m.ForkLimit, Since: m.ReplacedAt}
	job.Progress = func(p salvage.Progress) {
		failpoint(st.Name, "in-"+p.Stage)
		c.h.progressed(c.id, p)
	}
	return c.h.archive(ctx, job, c.id, st.Primary)
}

// archive carries a job out between two streams.
func (h *Hands) archive(ctx context.Context, job salvage.Job, old, primary policy.MemberID) (*policy.Tail, error) {
	from, err := h.side(ctx, old)
	if err != nil {
		return nil, err
	}
	defer from.Conn.Close()
	to, err := h.side(ctx, primary)
	if err != nil {
		return nil, err
	}
	defer to.Conn.Close()
	job.Old, job.Primary = from, to
	failpoint(job.Name, "before-archive")
	a, err := salvage.Archive(ctx, job)
	if err != nil {
		return nil, err
	}
	failpoint(job.Name, "after-archive")
	return a.Tail(primary.Site), nil
}

// side is a member as salvage reads it, over a connection of its own that the caller closes.
func (h *Hands) side(ctx context.Context, id policy.MemberID) (salvage.Side, error) {
	login, ok := h.o.Logins()[id.Site]
	if !ok {
		return salvage.Side{}, fmt.Errorf("site %q is not in the config", id.Site)
	}
	nc, err := jsapi.DialBulk(ctx, login)
	if err != nil {
		return salvage.Side{}, fmt.Errorf("connect to %s for the salvage: %w", id.Site, err)
	}
	return salvage.Side{Site: site(id.Site, nc, login), Stream: id.Stream}, nil
}

func site(name string, nc *nats.Conn, l jsapi.Login) salvage.Site {
	return salvage.Site{Name: name, Conn: nc, Domain: l.Domain}
}

// result logs what a phase came to; a wait only when its reason is new, and the next call goes on with it.
func (c *carer) result(ctx context.Context, st policy.StreamState, r policy.CareCommand) (bool, error) {
	r.Took = time.Since(c.began)
	if r.Outcome == policy.OutcomeWaiting {
		var err error
		if r.Reason != st.Aftercare[c.id.String()].Waiting {
			err = c.h.propose(ctx, policy.Command{Care: &r})
		}
		if r.Reason.Code == policy.Unreachable && c.silent && err == nil {
			err = ErrUnreached // by this leader; what waits for yet another member is no better off with the next one
		}
		return false, err
	}
	point := string(r.Phase)
	if r.Outcome == policy.OutcomeBegin {
		point = "begin"
	}
	failpoint(st.Name, "before-care-"+point)
	if err := c.h.propose(ctx, policy.Command{Care: &r}); err != nil {
		return false, err
	}
	failpoint(st.Name, "after-care-"+point)
	c.h.patience.worked(c.key)
	return true, nil
}

func (c *carer) send(ctx context.Context, st policy.StreamState, m policy.Move) (bool, error) {
	var refused, err error
	if m.Spare.Open != nil {
		refused, err = c.h.sendSpare(ctx, st.Name, m)
	} else {
		refused, err = c.h.send(ctx, sending{move: m, state: st, phase: st.Aftercare[c.id.String()].Phase, timeout: c.h.o.Timeout})
	}
	if err != nil || refused == nil {
		return true, err
	}
	if c.refusals++; c.refusals < maxRefusals {
		wait(ctx, refusalPause)
		return true, nil
	}
	pause := c.h.patience.failed(c.key, longestPause)
	c.h.o.Log.Warn("care did not go through", "stream", st.Name, "member", c.id.String(), "error", refused, "next_try_in", pause)
	r := policy.CareCommand{Stream: st.Name, Member: c.id, Epoch: st.Aftercare[c.id.String()].Epoch, Phase: c.phase,
		Outcome: policy.OutcomeWaiting, Reason: refusedReason(m.Write, refused)}
	if m.Spare.Open != nil {
		r.Reason = policy.SpareRefused(st, c.id, refused.Error())
	}
	return c.result(ctx, st, r)
}

// progressed keeps how far the archive of a member's tail is.
func (h *Hands) progressed(id policy.MemberID, p salvage.Progress) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.progress[id] = p
}

// Progress is how far the archive of a member's tail is, while one is made.
func (h *Hands) Progress(id policy.MemberID) (salvage.Progress, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p, ok := h.progress[id]
	return p, ok
}
