package policy

import "time"

// ActionKind is what the leader does next for a stream.
type ActionKind string

// The kinds of action.
const (
	ActWait  ActionKind = "wait"
	ActBegin ActionKind = "begin"
	ActStep  ActionKind = "step"
)

// Action is a decision. It always has a reason.
type Action struct {
	Kind   ActionKind
	Reason Reason
	// Attempt is to be begun.
	Attempt *Attempt
	// Candidates are the judged mirrors, best first.
	Candidates []Candidate
	// WouldHave is set when alert-only was the only gate left.
	WouldHave bool
}

// question is one evaluation: what Decide and its gates read.
type question struct {
	rules Rules
	hash  string
	node  string
	state State
	st    StreamState
	sr    StreamRules

	override   *Override // a live request that names this stream
	candidates []Candidate
	target     Candidate
}

// Decide says what the leader, node, does next for one stream. hash is rules.Hash(), which the caller keeps.
func Decide(rules Rules, hash, node string, s State, name string) Action {
	sr, ok := rules.Streams[name]
	if !ok {
		return Action{Kind: ActWait, Reason: reasonf(ConfigMismatch, "stream %s is not in the config", name)}
	}
	q := &question{rules: rules, hash: hash, node: node, state: s, st: s.Stream(sr), sr: sr}
	if q.st.Attempt != nil && !q.st.fencedAhead() {
		return decideRunning(q)
	}
	q.override = s.liveOverride(name)
	q.candidates = Candidates(q.st, sr)
	for _, g := range gates {
		if reason, pass := g(q); !pass {
			return decideStopped(q, reason)
		}
	}
	a := q.attempt()
	return Action{Kind: ActBegin, Attempt: &a, Candidates: q.candidates,
		Reason: reasonf(InProgress, "%s has been down for %s: failing over to %s", q.st.Primary, q.st.Clock.Outage, q.target.ID)}
}

// decideStopped is what there is to do while a gate says no to a failover: park its origin ahead of the threshold, or see to
// one that is parked so.
func decideStopped(q *question, r Reason) Action {
	if q.st.fencedAhead() {
		return Action{Kind: ActStep, Reason: r, Candidates: q.candidates}
	}
	if a, ok := q.fenceAhead(); ok {
		return Action{Kind: ActBegin, Attempt: &a, Candidates: q.candidates,
			Reason: reasonf(InProgress, "%s has been down for %s: it is fenced ahead of the threshold", q.st.Primary, q.st.Clock.Outage)}
	}
	return Action{Kind: ActWait, Reason: r, Candidates: q.candidates, WouldHave: r.Code == AlertOnly}
}

func decideRunning(q *question) Action {
	a := q.st.Attempt
	unsent := a.Phase == PhasePromote && !a.PromoteOpened
	if held, reason := holding(q.state, q.st); held && (a.Phase.Row().HoldStops || unsent) && !a.mustGoOn() {
		return Action{Kind: ActWait, Reason: reason}
	}
	reason := reasonf(InProgress, "%s %d to %s is at %s", a.Kind, a.Epoch, a.Target, a.Phase)
	if a.Waiting.Code != "" && a.Waiting.Code != InProgress {
		reason = adoptRemedy(a.Waiting, q.st.Name)
	}
	return Action{Kind: ActStep, Reason: reason}
}

// Held says whether everything, or this stream, is held: nothing is written to it then, repairs included.
func (s State) Held(stream string) bool {
	held, _ := holding(s, s.Streams[stream])
	return held
}

// HoldOf is the hold of one stream by itself or, for "", that of the whole group.
func (s State) HoldOf(stream string) Hold {
	if stream == "" {
		return s.Hold
	}
	return s.Streams[stream].Hold
}

func holding(s State, st StreamState) (bool, Reason) {
	switch {
	case s.Hold.Held:
		return true, reasonf(Held, "everything is held by %s since %s", s.Hold.By, s.Hold.At.UTC().Format(time.RFC3339))
	case st.Hold.Held:
		return true, reasonf(Held, "%s is held by %s since %s", st.Name, st.Hold.By, st.Hold.At.UTC().Format(time.RFC3339))
	}
	return false, Reason{}
}

// shared reports whether the target looks its origin up in its own meta group.
func (q *question) shared() bool {
	return SharesMeta(q.st.Members[q.target.ID.String()].Config)
}

// attempt freezes what the failover will do.
func (q *question) attempt() Attempt {
	origin := q.st.Members[q.st.Primary.String()]
	shape, _ := ShapeOf(origin.Original) // none known: no subjects, which confirm refuses
	return Attempt{
		Epoch: q.st.Epoch + 1, Kind: KindFailover, Phase: PhaseConfirm, From: q.st.Primary, Target: q.target.ID,
		Trigger: q.trigger(), By: q.node, ConfigHash: q.hash, Rules: q.sr, Votes: q.st.Round.Votes,
		Outage: q.st.Clock.Outage, Loss: q.target.Loss,
		TargetCreated: q.st.Members[q.target.ID.String()].Created, TargetSeq: q.target.LastSeq, Shared: q.shared(), Subjects: shape.Subjects, Origin: origin.Original,
		Waiting: reasonf(InProgress, "begun"), BeganAt: q.state.At,
	}
}

func (q *question) trigger() string {
	switch {
	case q.override != nil:
		return q.override.ID
	case q.sr.Mode == ModeManual && q.st.Approval != nil:
		return "approval by " + q.st.Approval.By
	}
	return "threshold"
}
