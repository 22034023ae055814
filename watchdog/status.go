package watchdog

import (
	"context"
	"encoding/json"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
)

// Status is the leader's view, asked for at the leader; while there is none, what this node knows by itself.
func (s *service) Status(ctx context.Context) (api.Status, error) {
	if l, ok := s.leading(); ok {
		return s.statusOf(l), nil
	}
	own := s.statusOf(nil)
	if own.Leader == "" {
		return own, nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	answer, err := s.node.Call(ctx, own.Leader, methodStatus, nil)
	if err != nil {
		return own, nil
	}
	var st api.Status
	if err := json.Unmarshal(answer, &st); err != nil {
		return own, nil
	}
	st.Node, st.Version = own.Node, own.Version
	return st, nil
}

// serveStatus answers another watchdog's question for the leader's view.
func (s *service) serveStatus(_ context.Context, _ string, _ []byte) ([]byte, error) {
	l, _ := s.leading()
	return json.Marshal(s.statusOf(l))
}

// History is what the log holds of it: the leader's copy, since one that was restarted may lag behind for a minute;
// while there is no leader, this node's own.
func (s *service) History(ctx context.Context) ([]policy.Entry, error) {
	own := s.replica.State().History
	if _, ok := s.leading(); ok {
		return own, nil
	}
	leader, known := s.node.Leader()
	if !known || leader == s.o.Config.Node {
		return own, nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	answer, err := s.node.Call(ctx, leader, methodHistory, nil)
	if err != nil {
		return own, nil
	}
	var list []policy.Entry
	if err := json.Unmarshal(answer, &list); err != nil {
		return own, nil
	}
	return list, nil
}

// serveHistory answers another watchdog's question for this node's copy.
func (s *service) serveHistory(context.Context, string, []byte) ([]byte, error) {
	return json.Marshal(s.replica.State().History)
}

// statusOf builds the status from the log and, at the leader, the live rounds.
func (s *service) statusOf(l *live) api.Status {
	es, state, rules := s.node.Status(), s.replica.State(), s.Rules()
	st := api.Status{
		Node: s.o.Config.Node, Leader: es.Leader, Term: es.Term, Quorum: es.Quorum, Held: state.Hold.Held, HeldBy: state.Hold.By,
		Hash: s.Hash(), Version: s.o.Version, Peers: s.peerStatus(l, es.Leader, rules), Streams: []api.StreamStatus{},
	}
	for _, name := range rules.StreamNames() {
		b := streamBuilder{s: s, state: state, sr: rules.Streams[name], st: state.Stream(rules.Streams[name]), quorum: es.Quorum}
		b.round = timedRound{StreamRound: b.st.Round, at: time.Now()}
		if l != nil {
			if r, ok := l.round(name); ok {
				b.round, b.isLive = r, true
			}
		}
		st.Streams = append(st.Streams, b.build())
	}
	return st
}

func (s *service) peerStatus(l *live, leader string, rules policy.Rules) []api.PeerStatus {
	hashes, freshAt := map[string]string{s.o.Config.Node: s.Hash()}, map[string]time.Time{s.o.Config.Node: time.Now()}
	if l != nil {
		hashes, freshAt = l.peers()
	}
	peers := make([]api.PeerStatus, 0, len(rules.Watchdogs))
	for _, node := range sortedNames(rules.Watchdogs) {
		at, heard := freshAt[node]
		peers = append(peers, api.PeerStatus{Node: node, Site: rules.Watchdogs[node], Leader: node == leader,
			Fresh: heard && time.Since(at) < 5*time.Second, ConfigHash: hashes[node]})
	}
	return peers
}

// streamBuilder puts one stream's status together.
type streamBuilder struct {
	s      *service
	state  policy.State
	st     policy.StreamState
	sr     policy.StreamRules
	round  timedRound
	isLive bool
	quorum bool
}

func (b streamBuilder) build() api.StreamStatus {
	// What the newest round shows counts, even if it was not worth logging.
	shown := b.st
	shown.Round = b.round.StreamRound
	judged := b.state
	judged.Streams = map[string]policy.StreamState{b.sr.Name: shown}
	a := policy.Decide(b.s.Rules(), b.s.Hash(), b.s.o.Config.Node, judged, b.sr.Name)
	s := api.StreamStatus{
		Name: b.sr.Name, Mode: b.sr.Mode, Epoch: b.st.Epoch, Primary: b.st.Primary, Reason: a.Reason,
		OutageMS: b.st.Clock.Outage.Milliseconds(), ThresholdMS: b.sr.Threshold.Milliseconds(), LossLimit: b.sr.MaxLoss,
		Held: b.st.Hold.Held, HeldBy: b.st.Hold.By, WouldHave: b.st.WouldHave, Attempt: b.st.Attempt, Last: b.st.Last,
		DualCapture: b.st.DualCapture,
	}
	if !b.quorum {
		s.Reason = policy.Reason{Code: policy.NoQuorum, Text: "no majority of the watchdogs can be reached from here: nothing can be decided"}
	}
	if b.st.Attempt != nil {
		s.Phase, s.Target = b.st.Attempt.Phase, &b.st.Attempt.Target
	}
	candidates := policy.Candidates(shown, b.sr)
	if len(candidates) > 0 {
		s.Loss = candidates[0].Loss
	}
	for _, w := range b.st.OpenWrites() {
		s.OpenWrites = append(s.OpenWrites, w.ID)
	}
	s.Observers, s.Members = b.observers(), b.members(candidates)
	s.State = b.stateName(s.Reason.Code)
	return s
}

// stateName follows design.md §10.
func (b streamBuilder) stateName(code policy.Code) string {
	agreement := b.round.Agreement
	switch {
	case b.st.Attempt != nil:
		return api.StateFailingOver
	case b.state.Hold.Held || b.st.Hold.Held:
		return api.StateHeld
	case agreement == "" || !b.quorum:
		return api.StateUnknown
	case agreement == policy.AgreedDown && b.st.Clock.Outage >= b.sr.Threshold:
		return api.StateDown
	case agreement != policy.AgreedUp, code == policy.SeenUpBy:
		return api.StateSuspect
	}
	for _, m := range b.st.Members {
		if m.Retired == 0 {
			continue
		}
		if m.FencedAt.IsZero() {
			return api.StateFailedOver
		}
		return api.StateReturned
	}
	return api.StateHealthy
}

func (b streamBuilder) observers() []api.ObserverStatus {
	list := make([]api.ObserverStatus, 0, len(b.round.Votes))
	for _, v := range b.round.Votes {
		age := v.Age
		if b.isLive {
			age += time.Since(b.round.at)
		}
		list = append(list, api.ObserverStatus{Node: v.Node, Site: v.Site, Verdict: v.Verdict, Evidence: v.Evidence, Via: v.Via,
			Detail: v.Detail, AgeMS: age.Milliseconds(), Fresh: v.Fresh})
	}
	return list
}

func (b streamBuilder) members(candidates []policy.Candidate) []api.MemberStatus {
	list := []api.MemberStatus{b.member(b.st.Primary, "primary", nil)}
	for _, c := range candidates {
		role := "mirror"
		if b.st.Members[c.ID.String()].Retired > 0 {
			role = "retired"
		}
		list = append(list, b.member(c.ID, role, &c))
	}
	head := uint64(0)
	if best := b.st.Members[b.st.Primary.String()].Best; best != nil {
		head = best.LastSeq
	}
	head = max(head, list[0].LastSeq)
	for i := range list {
		if list[i].Role == "mirror" && list[i].LastSeq < head {
			list[i].Behind = head - list[i].LastSeq
		}
	}
	return list
}

func (b streamBuilder) member(id policy.MemberID, role string, c *policy.Candidate) api.MemberStatus {
	m := api.MemberStatus{Site: id.Site, Stream: id.Stream, Role: role, ActiveMS: -1, Evidence: policy.NotLooked}
	r, ok := b.round.Members[id.String()]
	if ok {
		m.Evidence = r.Evidence
	}
	s := r.Now
	if s == nil {
		s = b.st.Members[id.String()].Best
	}
	if s != nil {
		m.LastSeq, m.Messages = s.LastSeq, s.Messages
		if s.Mirror != nil && r.Now != nil {
			m.ActiveMS = s.Mirror.Active.Milliseconds()
		}
	}
	if shape, err := policy.ShapeOf(b.st.Members[id.String()].Config); err == nil {
		m.Shape = shape.String()
	}
	if c != nil {
		m.Eligible, m.Reason, m.Text = c.Reason.Code == policy.Eligible, string(c.Reason.Code), c.Reason.Text
	}
	return m
}
