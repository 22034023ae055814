package policy

import (
	"slices"
	"time"
)

// mayLag is how many messages the target of a switchover may lack when the primary is parked: what is missing then is the
// time without an owner of the subjects.
const mayLag = 500

// planned reports that the attempt replaces a primary that lives.
func (a *Attempt) planned() bool { return a.Kind == KindSwitchover }

// mustGoOn reports that a hold comes too late: the primary of a switchover, or one that was fenced ahead of the threshold, may
// be parked, and nobody else takes its subjects until the attempt ends, one way or the other.
func (a *Attempt) mustGoOn() bool { return (a.planned() || a.Kind == KindFence) && a.ParkOpened }

// PlanSwitchover says what a switchover to a site would be, or why there is none now. It has the gates of a failover that
// make sense while the primary lives, in the same order.
func PlanSwitchover(rules Rules, hash, node string, s State, name, site string) (Attempt, Reason) {
	sr, ok := rules.Streams[name]
	if !ok {
		return Attempt{}, reasonf(ConfigMismatch, "stream %s is not in the config", name)
	}
	q := &question{rules: rules, hash: hash, node: node, state: s, st: s.Stream(sr), sr: sr}
	if a := q.st.Attempt; a != nil {
		return Attempt{}, reasonf(InProgress, "%s %d to %s is running", a.Kind, a.Epoch, a.Target)
	}
	for _, g := range []gate{gateHeld, gateConfig, gateMembership, gateAnyWrite, gateAlive} {
		if reason, pass := g(q); !pass {
			return Attempt{}, reason
		}
	}
	if reason, ok := q.targetAt(site); !ok {
		return Attempt{}, reason
	}
	a := q.attempt()
	a.Kind, a.Trigger, a.Loss = KindSwitchover, "command", Loss{Known: true}
	return a, reasonf(InProgress, "switching over from %s to %s", a.From, a.Target)
}

// gateAnyWrite: a switchover is in no hurry, and waits for whatever may still change a member.
func gateAnyWrite(q *question) (Reason, bool) {
	for _, w := range q.st.openWrites() {
		if w.beforeSwitchover(q.st.Primary) {
			return reasonf(WriteOpen, "write %s (%s of %s) may still take effect", w.ID, w.Kind, w.Member), false
		}
	}
	return Reason{}, true
}

// beforeSwitchover reports whether a switchover has to wait for the write while it is open.
func (w Write) beforeSwitchover(primary MemberID) bool {
	return w.Member == primary || w.Kind != WritePark && w.Kind != WriteDelete && w.Kind != WriteSeal
}

// gateAlive asks for a primary that answers.
func gateAlive(q *question) (Reason, bool) {
	if q.st.Round.Agreement != AgreedUp || !q.st.Round.Members[q.st.Primary.String()].Reachable() {
		return reasonf(Suspect, "a switchover needs a primary that answers, and %s does not: %s", q.st.Primary, q.st.Round.Reason.Text), false
	}
	if len(q.st.Members[q.st.Primary.String()].Original) == 0 {
		return reasonf(LossUnknown, "nobody has read the config of %s yet", q.st.Primary), false
	}
	return Reason{}, true
}

// targetAt finds the mirror at a site that can take over.
func (q *question) targetAt(site string) (Reason, bool) {
	for _, c := range Candidates(q.st, q.sr) {
		switch {
		case c.ID.Site != site:
		case c.Reason.Code != Eligible:
			return reasonf(NoEligibleMirror, "%s: %s (%s)", c.ID, c.Reason.Code, c.Reason.Text), false
		default:
			q.target = c
			return Reason{}, true
		}
	}
	if q.st.Primary.Site == site {
		return reasonf(Healthy, "%s is the primary already", q.st.Primary), false
	}
	return reasonf(NoEligibleMirror, "%s has no mirror at site %q", q.st.Name, site), false
}

// beginPlanned is what Apply asks of the begin of a switchover, beside what every begin needs.
func (st *StreamState) beginPlanned() error {
	if st.Round.Agreement != AgreedUp {
		return refuse("the newest round does not agree that %s is up", st.Primary)
	}
	for _, w := range st.openWrites() {
		if w.beforeSwitchover(st.Primary) {
			return refuse("write %s is open", w.ID)
		}
	}
	return nil
}

// preCheck waits until the target has all but the newest messages: the primary is parked only for the rest.
func (e ensurer) preCheck() Move {
	if m, ok := e.plannedStands(); !ok {
		return m
	}
	target, newest := e.target().Snapshot, newestOf(e.v.Newest, e.from().Snapshot.LastSeq)
	m := target.Mirror
	switch {
	case m == nil || m.Active < 0 || m.Active >= receivingWithin:
		return e.wait(InProgress, "%s has not heard of %s lately", e.a.Target, e.a.From)
	case newest > target.LastSeq+mayLag:
		return e.wait(InProgress, "%s lacks %s of %s", e.a.Target, messages(newest-target.LastSeq), e.a.From)
	}
	return e.done("%s lacks %s of %s", e.a.Target, messages(newest-min(newest, target.LastSeq)), e.a.From)
}

// newestOf is how far a mirror has to come of a stream whose last sequence is last.
func newestOf(known *uint64, last uint64) uint64 {
	if known == nil {
		return last
	}
	return min(*known, last)
}

// fencePlanned parks the primary.
func (e ensurer) fencePlanned() Move {
	if m, ok := e.plannedStands(); !ok {
		return m
	}
	if shape, _ := e.from().shape(); shape.Kind != ShapeParked {
		return e.send(WritePark, e.a.From)
	}
	return e.done("%s is parked at sequence %d", e.a.From, e.from().Snapshot.LastSeq)
}

// drain waits until the target holds everything that the parked primary holds, and stands where that stands, or before what
// was removed at its end: a mirror hears of that only with the next message.
func (e ensurer) drain() Move {
	if m, ok := e.plannedStands(); !ok {
		return m
	}
	if shape, _ := e.from().shape(); shape.Kind != ShapeParked { // a late unpark
		return e.send(WritePark, e.a.From)
	}
	from, target, last := e.from().Snapshot.LastSeq, e.target().Snapshot.LastSeq, e.v.Drained
	switch {
	case last == 0 && !e.v.DrainedKnown:
		return e.wait(InProgress, "%s is parked, and does not say yet how far it got", e.a.From)
	case from < last || target < newestOf(e.v.Newest, last):
		return e.wait(InProgress, "%s is at sequence %d of %d", e.a.Target, target, newestOf(e.v.Newest, last))
	case from > last || target > last:
		return e.result(OutcomeAbort, reasonf(ChangedOutside, "%s stood at sequence %d when it was parked, and is at %d, %s at %d", e.a.From, last, from, e.a.Target, target))
	}
	m := e.done("%s holds all up to sequence %d", e.a.Target, last)
	m.Result.LastSeq, m.Result.Drained = target, last
	return m
}

// stillDrained is asked once more right before the promote of a switchover.
func (e ensurer) stillDrained() (Move, bool) {
	if m, ok := e.plannedStands(); !ok {
		return m, false
	}
	shape, _ := e.from().shape()
	at := e.target().Snapshot.LastSeq
	if shape.Kind != ShapeParked || e.from().Snapshot.LastSeq != e.a.Drained || at < e.a.LastSeq || at > e.a.Drained {
		return e.result(OutcomeAbort, reasonf(ChangedOutside, "%s took messages again after it was parked", e.a.From)), false
	}
	return Move{}, true
}

// plannedStands asks, while nothing was promoted, what a switchover needs all the time. What fails leads back.
func (e ensurer) plannedStands() (Move, bool) {
	a := e.a
	switch limit := a.Deadline; {
	case limit > 0 && e.v.Running > limit:
		return e.result(OutcomeAbort, reasonf(InProgress, "it was not done within %s: %s", limit, a.Waiting.Text)), false
	case e.from().Evidence == NotFound:
		return e.result(OutcomeAbort, reasonf(OriginDeleted, "%s was deleted by somebody", a.From)), false
	case !e.from().answered():
		return e.lostPrimary()
	}
	shape, ok := e.from().shape()
	if !ok || shape.Kind == ShapeMirror || shape.Kind == ShapeBound && !slices.Equal(shape.Subjects, a.Subjects) {
		return e.result(OutcomeAbort, reasonf(ChangedOutside, "%s should be bound to %s, but is %s", a.From, list(a.Subjects), shape)), false
	}
	if reason, ok := e.st.membersStand(a.From, a.Target); !ok {
		return e.result(OutcomeAbort, reason), false
	}
	return e.targetHolds()
}

// patienceWithPrimary is how long a switchover waits for a primary that does not answer: a lost packet is no outage.
const patienceWithPrimary = 2 * time.Second

func (e ensurer) lostPrimary() (Move, bool) {
	if e.v.Silent < patienceWithPrimary {
		return e.wait(InProgress, "%s does not answer (%s)", e.a.From, e.from().Evidence), false
	}
	return e.result(OutcomeAbort, reasonf(Suspect, "%s does not answer any more (%s)", e.a.From, e.from().Evidence)), false
}
