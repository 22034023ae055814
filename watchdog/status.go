package watchdog

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/salvage"
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
	es, state := s.node.Status(), s.replica.State()
	st := api.Status{
		Node: s.o.Config.Node, Leader: es.Leader, Term: es.Term, Quorum: es.Quorum, Held: state.Hold.Held, HeldBy: state.Hold.By,
		Hash: s.Hash(), Version: s.o.Version, Peers: s.peerStatus(l, es.Leader, s.Rules()), Streams: []api.StreamStatus{},
	}
	for _, b := range s.builders(l, es.Quorum) {
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
			Fresh: heard && time.Since(at) < silentAfter(rules), ConfigHash: hashes[node]})
	}
	return peers
}

// silentAfter is how long after its newest report a watchdog counts as not heard from: three rounds of the stream that is
// looked at most often.
func silentAfter(rules policy.Rules) time.Duration {
	const least = 5 * time.Second
	shortest := time.Duration(0)
	for _, sr := range rules.Streams {
		if shortest == 0 || sr.Interval < shortest {
			shortest = sr.Interval
		}
	}
	return max(least, 3*shortest)
}

// builders are the statuses to be built, of all guarded streams. l is nil where there is no leader's view.
func (s *service) builders(l *live, quorum bool) []streamBuilder {
	q := s.question()
	var list []streamBuilder
	for _, name := range q.rules.StreamNames() {
		sr := q.rules.Streams[name]
		b := streamBuilder{question: q, quorum: quorum, st: q.state.Stream(sr), sr: sr}
		b.round = timedRound{StreamRound: remembered(b.st.Round)}
		b.progress = noProgress
		if l != nil {
			b.progress = l.progress
			if r, ok := l.round(name); ok {
				b.round, b.isLive = r, true
			}
		}
		list = append(list, b)
	}
	return list
}

// noProgress is what a node knows that makes no archives.
func noProgress(policy.MemberID) (salvage.Progress, bool) { return salvage.Progress{}, false }

// remembered is a logged round as it may be shown where there is no leader's view: what was said once, and nothing that
// is so now. A healthy stream's may be days old.
func remembered(r policy.StreamRound) policy.StreamRound {
	votes := slices.Clone(r.Votes)
	for i := range votes {
		votes[i].Fresh = false
	}
	members := map[string]policy.MemberRound{}
	for key := range r.Members {
		members[key] = policy.MemberRound{Evidence: policy.NotLooked}
	}
	return policy.StreamRound{Votes: votes, Members: members}
}

// question is what a decision on any stream is made by.
type question struct {
	rules policy.Rules
	hash  string
	node  string
	state policy.State
}

func (s *service) question() question {
	q := question{state: s.replica.State(), node: s.o.Config.Node}
	s.mu.RLock()
	defer s.mu.RUnlock()
	q.rules, q.hash = s.rules, s.hash
	return q
}

// streamBuilder puts one stream's status together.
type streamBuilder struct {
	question
	quorum bool
	st     policy.StreamState
	sr     policy.StreamRules
	round  timedRound
	isLive bool // the round is of the leader's view
	// progress is how far the archive of a member's tail is, as this node makes it.
	progress func(policy.MemberID) (salvage.Progress, bool)
}

func (b streamBuilder) build() api.StreamStatus {
	// What the newest round shows counts, even if it was not worth logging.
	shown := b.st
	shown.Round = b.round.StreamRound
	s := api.StreamStatus{
		Name: b.sr.Name, Mode: b.sr.Mode, Epoch: b.st.Epoch, Primary: b.st.Primary, Reason: b.reason(shown),
		OutageMS: b.st.Clock.Outage.Milliseconds(), ThresholdMS: b.sr.Threshold.Milliseconds(), LossLimit: b.sr.MaxLoss,
		Held: b.st.Hold.Held, HeldBy: b.st.Hold.By, WouldHave: b.st.WouldHave, Attempt: b.st.Attempt, Last: b.st.Last,
		DualCapture: b.st.DualCapture, Archives: b.st.Archives, Lost: b.st.Lost, Unread: b.st.Unread, Aftercare: b.aftercare(), Sourcing: b.sourcing(), Spares: b.spares(),
	}
	_, span := b.st.Captured()
	s.DualCaptureMS = span.Milliseconds()
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

// reason is the policy's word on the stream as shown. Without a leader's view it is only what the log alone can tell.
func (b streamBuilder) reason(shown policy.StreamState) policy.Reason {
	if !b.quorum {
		return policy.Reason{Code: policy.NoQuorum, Text: "no majority of the watchdogs can be reached from here: nothing can be decided"}
	}
	judged := b.state
	judged.Streams = map[string]policy.StreamState{b.sr.Name: shown}
	r := policy.Decide(b.rules, b.hash, b.node, judged, b.sr.Name).Reason
	if !b.isLive && r.Code == policy.Suspect {
		return policy.Reason{Code: policy.Blind, Text: "the leader's view is not known here (yet): ask again, or another watchdog"}
	}
	return r
}

// stateName follows design.md §10.
func (b streamBuilder) stateName(code policy.Code) string {
	agreement := b.round.Agreement
	switch {
	case b.st.Attempt != nil && b.st.Attempt.Kind == policy.KindSwitchover:
		return api.StateSwitchingOver
	case b.st.Attempt != nil && b.st.Attempt.Kind != policy.KindFence: // which may still be taken back
		return api.StateFailingOver
	case b.state.Hold.Held || b.st.Hold.Held:
		return api.StateHeld
	case agreement == "" || !b.quorum, b.round.Reason.Code == policy.Blind:
		return api.StateUnknown
	case agreement == policy.AgreedDown && b.st.Clock.Outage >= b.sr.Threshold:
		return api.StateDown
	case agreement != policy.AgreedUp, code == policy.SeenUpBy:
		return api.StateSuspect
	}
	old, failedOver := b.retired()
	switch {
	case b.rejoining():
		return api.StateRejoining
	case !failedOver:
		return api.StateHealthy
	case b.hasReturned(old):
		return api.StateReturned
	}
	return api.StateFailedOver
}

// aftercare is what is under way for the members, in the order of their names.
func (b streamBuilder) aftercare() []api.CareStatus {
	var list []api.CareStatus
	for _, key := range sortedNames(b.st.Aftercare) {
		c := api.CareStatus{Aftercare: b.st.Aftercare[key]}
		if p, ok := b.progress(c.Member); ok && (c.Phase == policy.PhaseArchive || c.Phase == policy.PhaseReplay) {
			c.Stage, c.Done, c.Total = p.Stage, p.Done, p.Total
		}
		list = append(list, c)
	}
	return list
}

// sourcing are the streams that source, or did, from a replaced primary, in the order of their names; their writes are left
// out.
func (b streamBuilder) sourcing() []policy.Sourcing {
	var list []policy.Sourcing
	for _, key := range sortedNames(b.st.Sourcing) {
		c := b.st.Sourcing[key]
		c.Writes = nil
		list = append(list, c)
	}
	return list
}

// spares are the spare copies that are there now, in the order of their names; their writes are left out.
func (b streamBuilder) spares() []policy.Spare {
	var list []policy.Spare
	for _, key := range sortedNames(b.st.Spares) {
		s := b.st.Spares[key]
		if s.Gone() {
			continue
		}
		s.Writes, s.Waiting = nil, b.st.SpareReason(s)
		list = append(list, s)
	}
	return list
}

// rejoining says whether a member is being made a mirror of the primary again. One that has yet to be deleted, and waits for
// another member, may do so for as long as a site is away.
func (b streamBuilder) rejoining() bool {
	for _, c := range b.st.Aftercare {
		if c.Phase == policy.PhaseDelete && c.Waiting.Code != policy.Unreachable || c.Phase == policy.PhaseCreate || c.Phase == policy.PhaseCatchUp {
			return true
		}
	}
	return false
}

// retired is the primary of before the newest failover, if there was one.
func (b streamBuilder) retired() (newest policy.MemberState, ok bool) {
	for _, m := range b.st.Members {
		if m.Retired > newest.Retired { // each failover retires one
			newest = m
		}
	}
	return newest, newest.Retired > 0
}

// hasReturned says whether a former primary is back: it answers, or was seen to, be it fenced or not.
func (b streamBuilder) hasReturned(m policy.MemberState) bool {
	return !m.FencedAt.IsZero() || b.round.Members[m.ID.String()].Reachable() ||
		slices.ContainsFunc(b.st.DualCapture, func(c policy.Capture) bool { return c.Member == m.ID && c.Fenced.IsZero() })
}

func (b streamBuilder) observers() []api.ObserverStatus {
	list := make([]api.ObserverStatus, 0, len(b.round.Votes))
	for _, v := range b.round.Votes {
		o := api.ObserverStatus{Node: v.Node, Site: v.Site, Verdict: v.Verdict, Evidence: v.Evidence, Via: v.Via,
			Detail: v.Detail, AgeMS: -1, Fresh: v.Fresh}
		if b.isLive {
			o.AgeMS = (v.Age + time.Since(b.round.at)).Milliseconds()
		}
		list = append(list, o)
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
