package simulator

import (
	"fmt"
	"slices"
	"time"

	"github.com/understudy-ha/understudy/policy"
)

func (s *Sim) views(st policy.StreamState) policy.Views {
	a, v := st.Attempt, policy.Views{Members: map[string]policy.View{}, Ready: true, Still: true, Seed: &policy.SeedRecord{}, Released: s.released == st.Epoch}
	here := s.rules.Watchdogs[s.leader]
	e, snap := s.world.look(here, a.From.Site, a.From)
	if snap == nil && a.Shared {
		e, snap = s.world.look(here, a.Target.Site, a.From)
	}
	v.Members[a.From.String()] = policy.View{Evidence: e, Snapshot: snap}
	e, snap = s.world.look(here, a.Target.Site, a.Target)
	v.Members[a.Target.String()] = policy.View{Evidence: e, Snapshot: snap}
	v.Owners, v.OwnersEvidence = s.world.owners(here, a.Target.Site, a.Subjects)
	if from := v.Members[a.From.String()]; from.Evidence == policy.AnsweredParked {
		v.Drained, v.DrainedKnown = from.Snapshot.LastSeq, true
	} else if s.rnd.IntN(2) == 0 {
		v.Silent = time.Minute
	}
	return v
}

// readCare takes the views of a member's care, archives when that is the move, and asks once more.
func (s *Sim) readCare(st policy.StreamState, id policy.MemberID) policy.Move {
	here, sr := s.rules.Watchdogs[s.leader], s.rules.Streams[name]
	view := func(of policy.MemberID) policy.View {
		e, snap := s.world.look(here, of.Site, of)
		return policy.View{Evidence: e, Snapshot: snap}
	}
	v := policy.CareViews{Primary: view(st.Primary), Member: view(id), Listed: true, Waited: time.Duration(s.rnd.IntN(20)) * time.Second}
	if c := st.Aftercare[id.String()]; c.Spare != (policy.MemberID{}) {
		v.Spare, v.SpareWaited = view(c.Spare), v.Waited
	}
	v.Others = map[string]policy.View{}
	for _, o := range st.Others(id) {
		v.Others[o.String()] = view(o)
	}
	if c := st.Aftercare[id.String()]; c.Tail != nil {
		v.ArchiveStands = c.Tail.Stream == "" || s.world.hears(here, c.Tail.Site)
	}
	m := policy.EnsureCare(st, sr, s.leader, id, v)
	if m.Kind == policy.MoveReplay {
		s.world.replay(st.Aftercare[id.String()].Tail, st.Primary)
		v.Replayed = &policy.Replay{}
		m = policy.EnsureCare(st, sr, s.leader, id, v)
	}
	if m.Kind == policy.MoveArchive {
		c := st.Aftercare[id.String()]
		archive := fmt.Sprint(name, "_", c.Epoch, "_", c.Of())
		if v.Archive = s.world.salvage(archive, id, st.Primary); v.Archive == nil {
			s.log("care of %s: the archive %s holds something else", id, archive)
			return policy.Move{Kind: policy.MoveNone}
		}
		if s.o.Break == EmptyArchive {
			v.Archive.Stream, v.Archive.Messages = "", 0
			delete(s.world.archive, archive)
		}
		m = policy.EnsureCare(st, sr, s.leader, id, v)
	}
	if m.Kind == policy.MoveSend && m.Write.Kind == policy.WriteDelete && v.Member.Snapshot != nil {
		s.seen.looked[m.Write.ID] = int(v.Member.Snapshot.LastSeq)
	}
	return m
}

// readSpare takes the views of the end of a spare copy, and archives it when that is the move.
func (s *Sim) readSpare(st policy.StreamState, id policy.MemberID) policy.Move {
	i := slices.IndexFunc(policy.SparesDue(s.state, name), func(r policy.Spare) bool { return r.ID == id })
	if i < 0 {
		return policy.Move{Kind: policy.MoveNone}
	}
	r, here := st.Spares[id.String()], s.rules.Watchdogs[s.leader]
	view := func(of policy.MemberID) policy.View {
		e, snap := s.world.look(here, of.Site, of)
		return policy.View{Evidence: e, Snapshot: snap}
	}
	v := policy.SpareViews{Spare: view(id), Primary: view(st.Primary), Waited: time.Duration(s.rnd.IntN(20)) * time.Second}
	v.ArchiveStands = r.Tail == nil || r.Tail.Stream == "" || s.world.hears(here, r.Tail.Site)
	m := policy.EnsureSpare(st, r, v)
	if m.Kind == policy.MoveArchive {
		if v.Archive = s.world.salvage(fmt.Sprint(name, "_", r.Stray, "_", r.Of()), id, st.Primary); v.Archive == nil {
			s.fail("the archive of %s holds something else", id)
			return policy.Move{Kind: policy.MoveNone}
		}
		m = policy.EnsureSpare(st, r, v)
	}
	if m.Kind == policy.MoveSend {
		s.seen.looked[m.Write.ID] = int(v.Spare.Snapshot.LastSeq)
	}
	return m
}
