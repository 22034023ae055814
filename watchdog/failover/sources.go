package failover

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/jsapi"
	"github.com/understudy-ha/understudy/watchdog/look"
	"github.com/understudy-ha/understudy/watchdog/salvage"
)

// Sources searches the sites for streams that source from a primary of name that was replaced, and carries each on, as far as
// it goes now. It may be called again at any time, by any leader.
func (h *Hands) Sources(ctx context.Context, rules policy.Rules, name string) error {
	var failed error
	work := policy.SourcesDue(h.o.Journal.State(), rules, name)
	for _, site := range work.Sites {
		if key := "sources of " + name + " at " + site; h.patience.mayTry(key) {
			failed = errors.Join(failed, h.search(ctx, rules, name, site, key))
		}
	}
	for _, id := range policy.SourcesDue(h.o.Journal.State(), rules, name).Streams {
		s := sourcer{h: h, rules: rules, name: name, id: id, key: name + " source " + id.String()}
		if ctx.Err() == nil && h.patience.mayTry(s.key) {
			failed = errors.Join(failed, s.run(ctx))
		}
	}
	return errors.Join(failed, ctx.Err())
}

// sourcer carries one sourcing stream on.
type sourcer struct {
	h        *Hands
	rules    policy.Rules
	name     string
	id       policy.MemberID
	key      string
	halted   []policy.SourcePosition // read since the newest halt
	refusals int
}

func (s *sourcer) run(ctx context.Context) error {
	for ctx.Err() == nil {
		more, err := s.next(ctx)
		if err != nil {
			s.h.patience.failed(s.key, longestPause)
			return fmt.Errorf("re-point %s: %w", s.id, err)
		}
		if !more {
			return nil
		}
	}
	return nil
}

// next reads, makes one move, and reports whether there may be another. Streams that several guarded ones feed are written
// for one after the other: each write is the whole config.
func (s *sourcer) next(ctx context.Context) (more bool, err error) {
	unlock := s.h.lock(s.id.Stream)
	defer unlock()
	state := s.h.o.Journal.State()
	c, known := state.Streams[s.name].Sourcing[s.id.String()]
	if !known || len(policy.SourcesDue(state, s.rules, s.name).Streams) == 0 {
		return false, nil
	}
	v := s.read(ctx, c)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	m := policy.EnsureSource(state, s.rules, s.name, s.h.o.Node, s.id, v)
	switch m.Kind {
	case policy.MoveSource:
		return s.log(ctx, c, m.Source)
	case policy.MoveTrace:
		s.halted, err = s.trace(ctx, state, c)
		failpoint(s.name, "after-trace")
		return err == nil, err
	case policy.MoveSend:
		return s.send(ctx, m)
	}
	return false, nil
}

// read takes the view of the stream.
func (s *sourcer) read(ctx context.Context, c policy.Sourcing) policy.SourceView {
	ctx, cancel := context.WithTimeout(ctx, s.h.o.Timeout)
	defer cancel()
	v := policy.SourceView{View: policy.View{Evidence: policy.Disconnected}, Seqs: map[string]uint64{}, Positions: s.halted, Waited: s.h.oldestOpen(c.Writes)}
	conn, err := s.h.reader(ctx, s.id.Site)
	if err != nil {
		return v
	}
	info, err := conn.Info(ctx, s.id.Stream)
	if err != nil {
		v.Evidence = look.EvidenceOf(err)
		return v
	}
	snap := look.SnapshotOf(info)
	v.Evidence, v.Snapshot = look.EvidenceOfInfo(info), &snap
	for _, src := range info.Sources {
		var of struct {
			Seq uint64 `json:"seq"`
		}
		_ = json.Unmarshal(src, &of) // a server that does not say is an old one
		v.Seqs[policy.SourceIndex(src)] = of.Seq
	}
	if v.Level, _, err = conn.API(ctx); err != nil {
		v.Evidence = look.EvidenceOf(err)
	}
	return v
}

// trace reads how far the halted stream got, once all that it took is stored.
func (s *sourcer) trace(ctx context.Context, state policy.State, c policy.Sourcing) ([]policy.SourcePosition, error) {
	last, err := s.settled(ctx)
	if err != nil {
		return nil, err
	}
	login, ok := s.h.o.Logins()[s.id.Site]
	if !ok {
		return nil, fmt.Errorf("site %q is not in the config", s.id.Site)
	}
	nc, err := jsapi.DialBulk(ctx, login)
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	t := policy.TraceSources(state, s.rules, s.name, c)
	side := salvage.Side{Site: site(s.id.Site, nc, login), Stream: s.id.Stream}
	if err := side.SourceHeaders(ctx, last, t.Take); err != nil {
		return nil, err
	}
	return t.Positions(), nil
}

// settled waits until the stream has stored all that its leader had taken when it was halted, and returns the last sequence
// of that.
func (s *sourcer) settled(ctx context.Context) (last uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*s.h.o.Timeout)
	defer cancel()
	conn, err := s.h.reader(ctx, s.id.Site)
	if err != nil {
		return 0, err
	}
	for { // a new subject may take a moment to be listened to
		if last, err = conn.Barrier(ctx, policy.ParkSubject(s.id)); err == nil || ctx.Err() != nil {
			break
		}
		wait(ctx, spinPause)
	}
	for err == nil {
		info, asked := conn.Info(ctx, s.id.Stream)
		if err = asked; err == nil && info.State.LastSeq >= last {
			return last, nil
		}
		wait(ctx, spinPause)
	}
	return 0, err
}

// log logs what came of the stream; a wait only when its reason is new.
func (s *sourcer) log(ctx context.Context, c policy.Sourcing, m policy.SourceCommand) (bool, error) {
	if m.Outcome != policy.OutcomeWaiting {
		s.h.patience.worked(s.key)
		failpoint(s.name, "before-source-"+string(m.Outcome))
		if err := s.h.propose(ctx, policy.Command{Source: &m}); err != nil {
			return false, err
		}
		failpoint(s.name, "after-source-"+string(m.Outcome))
		return m.Outcome != policy.OutcomeAbort, nil
	}
	if m.Reason.Code == policy.Unreachable {
		s.h.patience.failed(s.key, longestPause)
	}
	if m.Reason == c.Waiting {
		return false, nil
	}
	return false, s.h.propose(ctx, policy.Command{Source: &m})
}

// send logs a write open, makes it, and logs what came back. One that is not answered stays open, and is read back.
func (s *sourcer) send(ctx context.Context, m policy.Move) (bool, error) {
	w, led := m.Write, time.Now()
	failpoint(s.name, "before-open-"+string(w.Kind))
	if err := s.h.o.Journal.Propose(ctx, policy.Command{Source: &m.Source}); errors.Is(err, policy.ErrRefused) {
		s.h.o.Log.Debug("command refused", "error", err)
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("log write %s: %w", w.ID, err)
	}
	failpoint(s.name, "after-open-"+string(w.Kind))
	s.halted = nil
	_, err := s.h.write(ctx, w, s.h.o.Timeout, led)
	failpoint(s.name, "after-send-"+string(w.Kind))
	how := closes(err)
	s.h.o.Log.Debug("write sent", "stream", s.name, "write", string(w.ID), "member", w.Member.String(), "kind", string(w.Kind), "closed", string(how), "error", err)
	if how == "" {
		return true, ctx.Err()
	}
	c := policy.SourceCommand{Stream: s.name, Epoch: m.Source.Epoch, Of: s.id, Close: w.ID}
	proposed := s.h.propose(ctx, policy.Command{Source: &c})
	if proposed == nil {
		failpoint(s.name, "after-close-"+string(w.Kind))
	}
	if proposed != nil || err == nil {
		return true, proposed
	}
	if s.refusals++; s.refusals < maxRefusals {
		wait(ctx, refusalPause)
		return true, nil
	}
	s.h.patience.failed(s.key, longestPause)
	c = policy.SourceCommand{Stream: s.name, Epoch: m.Source.Epoch, Of: s.id, Outcome: policy.OutcomeWaiting, Reason: refusedReason(w, err)}
	return false, s.h.propose(ctx, policy.Command{Source: &c})
}

// oldestOpen is how long these hands have known the oldest open one of the writes.
func (h *Hands) oldestOpen(writes []policy.Write) (longest time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range writes {
		if _, known := h.deletes[w.ID]; !known {
			h.deletes[w.ID] = time.Now()
		}
		longest = max(longest, time.Since(h.deletes[w.ID]))
	}
	return longest
}

// lock waits until nobody else of these hands reads and writes a sourcing stream of this name.
func (h *Hands) lock(stream string) (unlock func()) {
	h.mu.Lock()
	l := h.sourced[stream]
	if l == nil {
		l = &sync.Mutex{}
		h.sourced[stream] = l
	}
	h.mu.Unlock()
	l.Lock()
	return l.Unlock
}
