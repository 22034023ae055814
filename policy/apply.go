package policy

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// ErrRefused is wrapped by every refusal of Apply: the command no longer fits the state. The state stays as it was.
var ErrRefused = errors.New("refused")

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrRefused}, args...)...)
}

// Apply returns the state after a command. It is total and deterministic: every command is either taken or refused,
// by every replica alike, and s is never changed. A refusal is an error that wraps ErrRefused.
func Apply(s State, c Command) (State, error) {
	s.At = c.At
	switch {
	case c.Round != nil:
		return applyRound(s, c)
	case c.Begin != nil:
		return applyStream(s, c.Begin.Stream, c, (*StreamState).begin)
	case c.Open != nil:
		return applyStream(s, c.Open.Stream, c, (*StreamState).open)
	case c.Close != nil:
		return applyStream(s, c.Close.Stream, c, (*StreamState).close)
	case c.Result != nil:
		return applyStream(s, c.Result.Stream, c, (*StreamState).result)
	case c.Decision != nil:
		return applyStream(s, c.Decision.Stream, c, (*StreamState).decided)
	case c.Approve != nil:
		return applyStream(s, c.Approve.Stream, c, (*StreamState).approve)
	case c.Carry != nil:
		return applyStream(s, c.Carry.Stream, c, (*StreamState).carry)
	case c.Care != nil:
		return applyStream(s, c.Care.Stream, c, (*StreamState).care)
	case c.Source != nil:
		return applyStream(s, c.Source.Stream, c, (*StreamState).source)
	case c.Salvaged != nil:
		return applyStream(s, c.Salvaged.Stream, c, (*StreamState).storeSalvaged)
	case c.Spare != nil:
		return applyStream(s, c.Spare.Stream, c, (*StreamState).spareChanged)
	case c.Abandon != nil:
		return applyStream(s, c.Abandon.Stream, c, (*StreamState).abandon)
	case c.Adopt != nil:
		return applyStream(s, c.Adopt.Stream, c, (*StreamState).adopt)
	case c.Hold != nil:
		return applyHold(s, c)
	case c.Override != nil:
		return s.override(c), nil
	case len(c.All) > 0:
		return applyAll(s, c)
	}
	return s, refuse("the command is empty")
}

// applyStream changes one known stream, and what the change enters beside it (history, outages, overrides); a refused
// change leaves no trace.
func applyStream(s State, name string, c Command, change func(*StreamState, *State, Command) error) (State, error) {
	old, ok := s.Streams[name]
	if !ok {
		return s, refuse("stream %q is not known", name)
	}
	st, next := old.clone(), s
	if err := change(&st, &next, c); err != nil {
		return s, err
	}
	next.Streams = maps.Clone(next.Streams)
	next.Streams[name] = st
	return next, nil
}

// note appends to the history. The slice is copied: an older State may still be read.
func (s *State) note(at time.Time, stream string, epoch uint64, kind string, r Reason) {
	keep := s.History
	if len(keep) >= maxHistory {
		keep = keep[len(keep)-maxHistory+1:]
	}
	s.EntrySeq++
	s.History = append(slices.Clone(keep), Entry{Seq: s.EntrySeq, At: at, Stream: stream, Epoch: epoch, Kind: kind, Reason: r})
}

func applyHold(s State, c Command) (State, error) {
	if c.Hold.Stream != "" {
		return applyStream(s, c.Hold.Stream, c, func(st *StreamState, s *State, c Command) error {
			return st.Hold.set(s, c)
		})
	}
	next := s
	if err := next.Hold.set(&next, c); err != nil {
		return s, err
	}
	return next, nil
}

func (h *Hold) set(s *State, c Command) error {
	want := *c.Hold
	if h.Version != want.Version {
		return refuse("the hold has changed meanwhile (version %d, not %d)", h.Version, want.Version)
	}
	kind := "resumed"
	if want.Held {
		kind = "held"
	}
	*h = Hold{Held: want.Held, Version: h.Version + 1, By: want.By, At: c.At}
	s.note(c.At, want.Stream, 0, kind, Reason{Code: Held, Text: kind + " by " + want.By})
	return nil
}

func (st *StreamState) approve(s *State, c Command) error {
	a := c.Approve.Approval
	if a.Epoch != st.Epoch+1 || st.Attempt != nil && !st.fencedAhead() {
		return refuse("the approval is for failover %d, the next one is %d", a.Epoch, st.Epoch+1)
	}
	a.At = c.At
	st.Approval = &a
	s.note(c.At, st.Name, a.Epoch, "approved", Reason{Code: AwaitingApproval, Text: fmt.Sprintf("%s approved the failover to %s", a.By, a.Target)})
	return nil
}

func (st *StreamState) decided(s *State, c Command) error {
	d := *c.Decision
	st.Reason = d.Reason
	if d.WouldHave && !st.Clock.WouldHave {
		st.WouldHave++
		st.Clock.WouldHave = true
	}
	if a := st.Approval; a != nil && !d.Ends.IsZero() && a.At.Equal(d.Ends) {
		st.Approval = nil
	}
	s.answer(d.Override, st.Name, d.Reason)
	s.note(c.At, st.Name, st.Epoch, "decision", d.Reason)
	return nil
}

// begin takes an attempt only on the evidence that the log itself holds (S3), with the round it was decided on still
// the newest.
func (st *StreamState) begin(s *State, c Command) error {
	b := *c.Begin
	a := b.Attempt
	held, _ := holding(*s, *st)
	target := st.Members[a.Target.String()]
	switch {
	case held:
		return refuse("%s is held", st.Name)
	case st.Attempt != nil && !(st.fencedAhead() && a.Kind == KindFailover):
		return refuse("%s %d is running", st.Attempt.Kind, st.Attempt.Epoch)
	case b.Term != st.Clock.Term || b.Round != st.Clock.Round:
		return refuse("a newer round is in the log")
	case !a.planned() && (st.Round.Agreement != AgreedDown || len(st.Round.Receiving) > 0 || len(st.Round.LastUp) > 0):
		return refuse("the newest round does not agree that %s is down", st.Primary)
	case a.Epoch != st.Epoch+1 || a.From != st.Primary || a.Target == st.Primary:
		return refuse("the attempt is not the next one of %s", st.Primary)
	case len(a.Subjects) == 0:
		return refuse("the subjects to bind are not known")
	case target.ID != a.Target || target.Promoted > 0 && target.Want != nil && target.Want.Kind != ShapeMirror:
		return refuse("%s is not a mirror that the log knows", a.Target)
	}
	if w, open := target.openExcept(); open {
		return refuse("write %s to the target is open", w.ID)
	}
	if c, has := st.Aftercare[a.Target.String()]; has && c.Phase != PhaseCatchUp {
		return refuse("%s is being made anew", a.Target)
	}
	for _, w := range st.openWrites() {
		if w.beforeBegin(st.Primary) {
			return refuse("write %s is open", w.ID)
		}
	}
	if a.planned() {
		if err := st.beginPlanned(); err != nil {
			return err
		}
	}
	if a.Kind == KindFence {
		if err := a.beginAhead(); err != nil {
			return err
		}
	}
	st.endAhead(s, c.At)
	a.Carried, a.Consumers, a.ConsumersFrozen = nil, nil, false
	a.Phase, a.PromoteOpened, a.DeleteOpened, a.ParkOpened, a.Steps, a.BeganAt = PhaseConfirm, false, false, false, nil, c.At
	st.Epoch, st.Attempt, st.Approval = a.Epoch, &a, nil
	from := st.Members[a.From.String()]
	from.FencedAt = time.Time{}
	if a.Shared && !slices.Contains(from.SharesMeta, a.Target) {
		from.SharesMeta = append(slices.Clone(from.SharesMeta), a.Target)
	}
	st.Members[a.From.String()] = from
	if a.Kind == KindFence {
		s.note(c.At, st.Name, a.Epoch, "fence_started", reasonf(InProgress, "fencing %s through %s, ahead of the threshold", a.From, a.Target.Site))
		return nil
	}
	for _, o := range s.overridesOf(st.Name) {
		s.answer(o.ID, st.Name, reasonf(InProgress, "failover %d to %s has begun", a.Epoch, a.Target))
	}
	doing := map[AttemptKind]string{KindFailover: "failing over", KindSwitchover: "switching over"}[a.Kind]
	s.note(c.At, st.Name, a.Epoch, string(a.Kind)+"_started", reasonf(InProgress, "%s from %s to %s (%s)", doing, a.From, a.Target, a.Trigger))
	return nil
}

// result moves the attempt along the phase table; only a result of its own epoch and phase counts.
func (st *StreamState) result(s *State, c Command) error {
	r := *c.Result
	a := st.Attempt
	if a == nil || a.Epoch != r.Epoch || a.Phase != r.Phase {
		return refuse("no attempt %d is at %s", r.Epoch, r.Phase)
	}
	switch r.Outcome {
	case OutcomeWaiting:
		a.Waiting = r.Reason
		a.Tries++
		s.note(c.At, st.Name, a.Epoch, "waiting", r.Reason)
		return nil
	case OutcomeAbort:
		if !a.Phase.Row().Abortable || a.PromoteOpened || a.DeleteOpened {
			return refuse("attempt %d can only go forward", a.Epoch)
		}
		a.Phase, a.Waiting, a.Abort = PhaseAborting, r.Reason, r.Reason
		if r.Reason.Code == Healthy { // the leader just got an answer: that is an up, whatever the votes say
			st.Clock.Outage, st.Clock.Agreed, st.Clock.Blind = 0, 0, 0
		}
		s.note(c.At, st.Name, a.Epoch, string(a.Kind)+"_aborting", r.Reason)
		return nil
	case OutcomeDone:
		return st.phaseDone(s, c.At, r)
	}
	return refuse("outcome %q is not known", r.Outcome)
}

func (st *StreamState) phaseDone(s *State, at time.Time, r ResultCommand) error {
	a := st.Attempt
	next := a.next()
	if next.Row().Final {
		if w, open := st.blocksEnd(); open {
			return refuse("write %s is open", w.ID)
		}
	}
	if a.Phase == PhaseConsumers && !a.settled() {
		return refuse("not every consumer is settled")
	}
	a.Steps = append(a.Steps, StepRecord{Phase: a.Phase, Took: r.Took, At: at, Text: r.Reason.Text})
	a.FenceDebt = a.FenceDebt || r.FenceDebt
	if r.LastSeq > 0 {
		a.LastSeq = r.LastSeq
	}
	a.Drained = max(a.Drained, r.Drained)
	if r.Seed != nil {
		a.Seed = r.Seed
	}
	s.note(at, st.Name, a.Epoch, "phase_done", Reason{Code: InProgress, Text: string(a.Phase) + ": " + r.Reason.Text})
	a.Waiting, a.Phase = reasonf(InProgress, "%s is done", a.Phase), next
	switch next {
	case PhaseDone:
		st.complete(s, at)
	case PhaseAborted:
		st.aborted(s, at)
	}
	return nil
}

// blocksEnd returns an open write that keeps the epoch from ending: any on the target, and any unpark or delete. An
// open park of the old origin is the fence's own debt: a late one only does what is wanted, and after an abort it is
// repaired. What was sent to a target that was given up is repaired, too, whenever that answers.
func (st *StreamState) blocksEnd() (Write, bool) {
	for _, w := range st.openWrites() {
		_, cared := st.Aftercare[w.Member.String()]
		if st.Members[w.Member.String()].Abandoned > 0 || cared && w.Member != st.Attempt.Target {
			continue
		}
		if w.Kind != WritePark || w.Member == st.Attempt.Target {
			return w, true
		}
	}
	return Write{}, false
}

func (st *StreamState) complete(s *State, at time.Time) {
	a := *st.Attempt
	a.EndedAt, a.Consumers, a.Carried = at, a.outcomes(), nil
	from := st.Members[a.From.String()]
	from.Retired, from.ReplacedAt = a.Epoch, a.boundAt()
	if from.Want == nil || from.Want.Kind != ShapeParked {
		from.Want, from.WantWrite = &Shape{Kind: ShapeParked, Subjects: []string{ParkSubject(a.From)}}, ""
	}
	st.Members[a.From.String()] = from
	st.Primary = a.Target
	st.succeed(a)
	st.leaveSpares(a.Epoch, a.LastSeq)
	delete(st.Aftercare, a.Target.String())
	target := st.Members[a.Target.String()]
	target.Follows, target.Stray, target.ForkLimit = MemberID{}, 0, 0
	st.Members[a.Target.String()] = target
	st.leaveBehind(a)
	st.Clock = Clock{Term: st.Clock.Term, Round: st.Clock.Round}
	st.Round = StreamRound{}
	st.Attempt, st.Last = nil, &a
	if a.planned() {
		s.note(at, st.Name, a.Epoch, "switchover_completed", reasonf(Healthy, "%s is the primary now, with all messages of %s", a.Target, a.From))
		return
	}
	st.CompletedAt = at
	if a.DeleteOpened {
		st.leftUnread(a)
	}
	s.countOutage(a.From.Site, at, a.Rules)
	s.note(at, st.Name, a.Epoch, "failover_completed", reasonf(Healthy, "%s is the primary now; at least %d messages were left behind", a.Target, a.Loss.AtLeast))
}

// boundAt is when the target was seen bound; zero before.
func (a Attempt) boundAt() time.Time {
	for _, s := range a.Steps {
		if s.Phase == PhaseBind {
			return s.At
		}
	}
	return time.Time{}
}

// leaveBehind notes of every other member from where on it may differ from the new primary. What followed a primary that
// was drained holds no more than that, and is no stray.
func (st *StreamState) leaveBehind(a Attempt) {
	before := *st
	before.Primary = a.From
	for key, m := range st.Members {
		if m.ID == a.Target || m.Deleted && m.ID != a.From {
			continue
		}
		whole := m.Stray == 0 && directMirror(before, a.Rules, m.ID, &Snapshot{}) // until now
		if whole || m.ForkLimit == 0 || a.LastSeq < m.ForkLimit {
			m.ForkLimit = a.LastSeq
		}
		madeAnew := m.Follows != MemberID{}
		if m.ID != a.From && !a.planned() && (m.Retired == 0 || madeAnew) {
			m.Stray = a.Epoch
		}
		st.Members[key] = m
	}
}

// succeed adds to the lineage.
func (st *StreamState) succeed(a Attempt) {
	old := st.Lineage
	if len(old) >= maxLineage {
		old = old[len(old)-maxLineage+1:]
	}
	next := Succession{Epoch: a.Epoch, From: a.From, To: a.Target, Fork: a.LastSeq}
	if !a.planned() {
		next.Seen = a.TargetSeq + a.Loss.AtLeast
	}
	st.Lineage = append(slices.Clone(old), next)
}

// countOutage adds to what the storm brake counts: the streams of one site within one cool-down are one outage.
func (s *State) countOutage(site string, at time.Time, r StreamRules) {
	const keep = 100
	for _, o := range s.Outages {
		if o.Site == site && at.Sub(o.At) < r.sameOutage() {
			return
		}
	}
	old := s.Outages
	if len(old) >= keep {
		old = old[len(old)-keep+1:]
	}
	s.Outages = append(slices.Clone(old), SiteOutage{Site: site, At: at})
}

func (st *StreamState) aborted(s *State, at time.Time) {
	a := *st.Attempt
	a.EndedAt, a.Carried = at, nil
	st.giveBack(a.From)
	st.Attempt, st.Last = nil, &a
	s.note(at, st.Name, a.Epoch, string(a.Kind)+"_aborted", a.Abort)
}

// giveBack wants an origin that was not replaced to hold its subjects again.
func (st *StreamState) giveBack(id MemberID) {
	m := st.Members[id.String()]
	if m.Want == nil || m.Want.Kind == ShapeBound {
		return
	}
	if shape, err := ShapeOf(m.Original); err == nil {
		m.Want, m.WantWrite = &shape, ""
	}
	st.Members[id.String()] = m
}
