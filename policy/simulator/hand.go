package simulator

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/understudy-ha/understudy/policy"
)

// A person changes streams past Understudy, in the middle of everything else, and has it take over what is there.

// hand is one thing that a person does, to a stream that answers and to which nothing is on its way.
func (s *Sim) hand() {
	id := all[s.rnd.IntN(len(all))]
	what := s.rnd.IntN(9)
	switch what {
	case 6, 7:
		_ = s.adopt("")
		return
	case 8:
		s.handWrites()
		return
	}
	if what == 5 {
		s.loseStores()
		return
	}
	if !s.world.reaches(id.Site) || s.onItsWay(id) || s.st().Attempt != nil && s.rnd.IntN(4) > 0 {
		return
	}
	switch what {
	case 0:
		s.handDelete(id)
	case 1, 2:
		s.handBind(id, subject)
	case 3:
		s.handBind(id, "other."+id.Stream)
	case 4:
		s.handRejoin(id)
	}
}

func (s *Sim) onItsWay(id policy.MemberID) bool {
	return slices.ContainsFunc(s.flying, func(w policy.Write) bool { return w.Member == id }) ||
		slices.ContainsFunc(s.workers, func(w *worker) bool { return w.stage != reading && w.move.Write.Member == id })
}

func (s *Sim) handDelete(id policy.MemberID) {
	x := s.world.streams[id.String()]
	if x.meta == nil {
		return
	}
	s.wipe(x)
	x.meta, x.local = nil, nil
	s.log("HAND: %s is deleted", id)
}

// handBind gives a stream a subject, a mirror by promoting it; the server refuses what overlaps.
func (s *Sim) handBind(id policy.MemberID, to string) {
	x, c := s.world.streams[id.String()], map[string]json.RawMessage{}
	if x.meta == nil || json.Unmarshal(x.meta, &c) != nil {
		return
	}
	delete(c, "mirror")
	c["subjects"] = mustMarshal([]string{to})
	raw := mustMarshal(c)
	if !s.world.legal(x, raw) {
		return
	}
	x.meta, x.local = raw, raw
	s.log("HAND: %s is bound to %s", id, to)
}

// handWrites gives a parked stream its subjects back, or others if those are taken, lets it take messages that nobody else does,
// and mostly parks it again as it was.
func (s *Sim) handWrites() {
	i := slices.IndexFunc(all, func(id policy.MemberID) bool {
		return s.world.kind(id) == policy.ShapeParked && s.world.reaches(id.Site) && !s.onItsWay(id)
	})
	if i < 0 {
		return
	}
	x := s.world.streams[all[i].String()]
	was := x.meta
	if s.handBind(all[i], subject); string(x.meta) == string(was) {
		s.handBind(all[i], "other."+all[i].Stream)
	}
	if string(x.meta) == string(was) {
		return
	}
	s.world.takeAlone(x, 1+s.rnd.IntN(3))
	if s.rnd.IntN(4) > 0 {
		x.meta, x.local = was, was
		s.log("HAND: %s is parked again, at sequence %d", x.id, x.lastSeq())
	}
}

// handRejoin deletes a stream and makes it anew as a mirror of the one that holds the subjects.
func (s *Sim) handRejoin(id policy.MemberID) {
	i := slices.IndexFunc(all, func(o policy.MemberID) bool { return o != id && s.world.holds(o) })
	if i < 0 || s.world.holds(id) && s.rnd.IntN(4) > 0 {
		return
	}
	of := all[i]
	src := map[string]any{"name": of.Stream}
	if !s.world.shared {
		src["external"] = map[string]any{"api": "$JS." + of.Site + ".API", "deliver": ""}
	}
	s.create(id, map[string]any{"mirror": src}, s.world.streams[of.String()].msgs)
	s.log("HAND: %s is made anew as a mirror of %s", id, of)
}

// wipe notes that a person deletes what a stream holds.
func (s *Sim) wipe(x *stream) {
	for _, id := range x.msgs {
		s.world.wiped[id] = true
	}
}

func (s *Sim) create(id policy.MemberID, cfg map[string]any, msgs []int) {
	cfg["name"], cfg["retention"], cfg["storage"], cfg["num_replicas"], cfg["max_age"] = id.Stream, "limits", "file", 1, 0
	x, raw := s.world.streams[id.String()], mustMarshal(cfg)
	s.wipe(x)
	x.meta, x.local, x.msgs = raw, raw, slices.Clone(msgs)
	x.created = time.Unix(100_000, 0).UTC().Add(s.world.clock)
}

func mustMarshal(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain types
	}
	return b
}

// holds says whether a stream is bound to the real subjects, as its meta group has it.
func (w *world) holds(id policy.MemberID) bool {
	x := w.streams[id.String()]
	return x.meta != nil && slices.Contains(w.shapeOf(x.meta).Subjects, subject)
}

// loseStores takes all that the watchdogs know. Writes of before would be nobody's: none may be on its way.
func (s *Sim) loseStores() {
	if st := s.st(); st.Attempt != nil || len(s.flying) > 0 || len(s.workers) > 0 || len(st.OpenWrites()) > 0 {
		return
	}
	s.log("HAND: the watchdogs' stores are lost")
	s.state = policy.NewState()
	for node := range s.memory {
		s.memory[node] = map[string]*policy.Snapshot{}
	}
	clear(s.reported)
	clear(s.seen.targets)
	clear(s.seen.promoted)
	s.released = 0
	clear(s.resets) // a new log counts its epochs anew
	s.elect()
}

// adopt has the policy take over what the watchdogs see.
func (s *Sim) adopt(site string) error {
	sr := s.rules.Streams[name]
	st, known := s.state.Streams[name]
	if s.leader == "" || !known {
		return fmt.Errorf("nobody to ask")
	}
	r := policy.Merge(s.rules, st, sr, s.term, s.round, s.reports())
	c := policy.AdoptCommand{Stream: name, By: "sim", Epoch: st.Epoch, Site: site, Rules: sr, Members: st.WithConfigs(r)}
	if err := s.propose(policy.Command{Adopt: &c}); err != nil {
		return err
	}
	s.log("HAND: adopted: %s", s.state.History[len(s.state.History)-1].Reason.Text)
	s.seen.Adopted++
	return nil
}

// mend is what a person does about a stream that waits for one: adopt it, after having put right what that asks for.
func (s *Sim) mend() {
	switch policy.Decide(s.rules, s.hash, s.leader, s.state, name).Reason.Code {
	case policy.ChangedOutside, policy.StateLost, policy.OriginDeleted, policy.OriginRecreated, policy.NoEligibleMirror:
	case policy.WriteOpen:
		if s.round < 20 { // patience: it may still show its effect
			return
		}
	case policy.TargetUnreachable:
		if s.abandon() {
			return
		}
	default:
		return
	}
	if s.adopt("") == nil {
		return
	}
	keep, ok := s.keeper()
	if !ok {
		s.promoteSome()
		return
	}
	if s.adopt(keep.Site) == nil {
		return
	}
	for _, id := range all {
		if id != keep && s.world.kind(id) == policy.ShapeBound {
			s.handDelete(id)
		}
	}
	if s.world.kind(keep) != policy.ShapeBound {
		s.handBind(keep, subject)
	}
}

// keeper is the stream that a person would have for the primary.
func (s *Sim) keeper() (keep policy.MemberID, ok bool) {
	for _, id := range all {
		switch k := s.world.kind(id); {
		case k == "" || k == policy.ShapeMirror || policy.Sealed(s.world.streams[id.String()].meta):
		case !ok, s.world.holds(id) && !s.world.holds(keep), id == s.st().Primary && s.world.holds(id) == s.world.holds(keep):
			keep, ok = id, true
		}
	}
	return keep, ok
}

// kind is what a stream is, as its meta group has it; "" when there is none.
func (w *world) kind(id policy.MemberID) policy.ShapeKind {
	x := w.streams[id.String()]
	if x.meta == nil {
		return ""
	}
	return w.shapeOf(x.meta).Kind
}

// promoteSome makes a primary where there is none.
func (s *Sim) promoteSome() {
	for _, id := range all {
		if s.handBind(id, subject); s.world.holds(id) {
			return
		}
	}
	s.create(origin, map[string]any{"subjects": []string{subject}}, nil)
}
