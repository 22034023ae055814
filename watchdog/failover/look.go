package failover

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/jsapi"
	"github.com/understudy-ha/understudy/watchdog/look"
)

// look reads one stream through one site.
func (h *Hands) look(ctx context.Context, via, stream string, timeout time.Duration) policy.View {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := h.reader(ctx, via)
	if err != nil {
		return policy.View{Evidence: policy.Disconnected}
	}
	info, err := conn.Info(ctx, stream)
	if err != nil {
		return policy.View{Evidence: look.EvidenceOf(err)}
	}
	return viewOf(info)
}

func viewOf(info *jsapi.Info) policy.View {
	s := look.SnapshotOf(info)
	return policy.View{Evidence: look.EvidenceOfInfo(info), Snapshot: &s}
}

// read takes all the views that the next move of an attempt may need, side by side.
func (h *Hands) read(ctx context.Context, st policy.StreamState, origin *originWatch) policy.Views {
	a := st.Attempt
	if a.Kind == policy.KindSwitchover {
		return h.readPlanned(ctx, st)
	}
	v := policy.Views{Members: map[string]policy.View{}}
	var wg sync.WaitGroup
	var target policy.View
	wg.Go(func() { target, v.Ready = h.readTarget(ctx, a) })
	wg.Go(func() { v.Owners, v.OwnersEvidence = h.owners(ctx, *a) })
	from := origin.latest(ctx)
	if from.Evidence == policy.Offline && parkOpen(st, a.From) {
		// The open park is sent again: its refusal says the same, and closes it, as a delete requires.
		from.Evidence = policy.Timeout
	}
	wg.Wait()
	v.Members[a.Target.String()] = target
	v.Members[a.From.String()] = from
	return v
}

// readTarget looks at the target and, once it is promoted, whether it takes writes: first, since what it stands at then counts,
// but for a switchover, which knows that since the drain.
func (h *Hands) readTarget(ctx context.Context, a *policy.Attempt) (v policy.View, ready bool) {
	var asking sync.WaitGroup
	if a.Phase == policy.PhasePromote && a.PromoteOpened {
		asking.Go(func() { ready = h.ready(ctx, a.Target) })
	}
	if a.Kind != policy.KindSwitchover {
		asking.Wait()
	}
	v = h.look(ctx, a.Target.Site, a.Target.Stream, h.o.Timeout)
	asking.Wait()
	return v, ready
}

func parkOpen(st policy.StreamState, id policy.MemberID) bool {
	return slices.ContainsFunc(st.OpenWrites(), func(w policy.Write) bool { return w.Kind == policy.WritePark && w.Member == id })
}

// ready asks whether the promoted target takes writes: its parked subject is its own, so nobody else sees the probe. While
// a leader is elected a probe may be lost, so that others are sent before its time is over.
func (h *Hands) ready(ctx context.Context, target policy.MemberID) bool {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	conn, err := h.reader(ctx, target.Site)
	if err != nil {
		return false
	}
	answers := make(chan error, readyTimeout/readyPause+1)
	again := time.NewTicker(readyPause)
	defer again.Stop()
	for open := 0; ; {
		if open < cap(answers) {
			open++
			go func() { answers <- conn.Ready(ctx, policy.ParkSubject(target)) }()
		}
		select {
		case err := <-answers:
			if open--; err == nil {
				return true
			}
			wait(ctx, shortPause)
		case <-again.C:
		}
		if ctx.Err() != nil {
			return false
		}
	}
}

// owners asks the target's meta group who holds the attempt's subjects. A mirror holds none; it is listed when its
// name happens to match, and is left out.
func (h *Hands) owners(ctx context.Context, a policy.Attempt) ([]string, policy.Evidence) {
	ctx, cancel := context.WithTimeout(ctx, h.o.Timeout)
	defer cancel()
	conn, err := h.reader(ctx, a.Target.Site)
	if err != nil {
		return nil, policy.Disconnected
	}
	owners := []string{}
	for _, subject := range a.Subjects {
		names, err := conn.Names(ctx, subject)
		if err != nil {
			return nil, look.EvidenceOf(err)
		}
		owners = append(owners, names...)
	}
	slices.Sort(owners)
	owners = slices.Compact(owners)
	return slices.DeleteFunc(owners, func(name string) bool {
		if name == a.From.Stream && a.Shared {
			return false
		}
		return isMirror(ctx, conn, name)
	}), policy.Answered
}

func isMirror(ctx context.Context, conn *jsapi.Conn, name string) bool {
	info, err := conn.Info(ctx, name)
	if err != nil {
		return false
	}
	shape, err := policy.ShapeOf(info.Config)
	return err == nil && shape.Kind == policy.ShapeMirror
}

// stillFor is how far apart two readings are at least that show that a stream stands still: what a mirror had under way
// when it was promoted is stored within a millisecond or two.
const stillFor = 10 * time.Millisecond

// stillness watches a target's last sequence.
type stillness struct {
	seq   uint64
	since time.Time
}

// of takes a reading, and says whether the sequence has been the same for stillFor.
func (s *stillness) of(v policy.View) bool {
	if !answers(v) || v.Snapshot == nil {
		s.since = time.Time{}
		return false
	}
	if s.since.IsZero() || v.Snapshot.LastSeq != s.seq {
		s.seq, s.since = v.Snapshot.LastSeq, time.Now()
		return false
	}
	return time.Since(s.since) >= stillFor
}
