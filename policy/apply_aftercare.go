package policy

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// care moves the care of one member along the phase table.
func (st *StreamState) care(s *State, cmd Command) error {
	r := *cmd.Care
	key := r.Member.String()
	c, begun := st.Aftercare[key]
	switch {
	case r.Outcome == OutcomeBegin:
		return st.beginCare(s, cmd)
	case r.Outcome == OutcomeAsk:
		return st.askCare(s, cmd)
	case !begun || c.Epoch != r.Epoch || c.Phase != r.Phase:
		return refuse("no care of %s is at %s", r.Member, r.Phase)
	case st.Attempt != nil:
		return refuse("%s %d is running", st.Attempt.Kind, st.Attempt.Epoch)
	case r.Outcome == OutcomeWaiting:
		c.Waiting = r.Reason
	case r.Outcome == OutcomeAgain:
		if err := st.careAgain(s, cmd, &c); err != nil {
			return err
		}
	case r.Outcome == OutcomeDone:
		return st.carePhaseDone(s, cmd.At, c, r)
	default:
		return refuse("outcome %q is not known", r.Outcome)
	}
	st.Aftercare[key] = c
	return nil
}

// careAgain goes back: to the archive, when the member has grown, be it that a delete of it seems lost; to the create, when a late delete hit what was created.
func (st *StreamState) careAgain(s *State, cmd Command, c *Aftercare) error {
	m := st.Members[c.Member.String()]
	switch {
	case c.Phase == PhaseCatchUp && m.Deleted:
		c.Phase = PhaseCreate
	case c.Phase == PhaseCatchUp && m.Abandoned > 0: // it was promoted, though it had not caught up
		*c = Aftercare{Member: c.Member, Kind: CareReturn, Epoch: m.Retired, Phase: PhaseSeal, Asked: c.Asked, By: c.By, BeganAt: cmd.At}
	case c.Phase == PhaseCatchUp, m.Deleted:
		return refuse("%s has no way back from %s", c.Member, c.Phase)
	default:
		c.Phase = PhaseArchive
	}
	c.Waiting = cmd.Care.Reason
	s.note(cmd.At, st.Name, c.Epoch, "aftercare_again", cmd.Care.Reason)
	return nil
}

// DeleteOpened reports that a delete of the member is under way, or done.
func (c Aftercare) DeleteOpened(m MemberState) bool {
	_, open := m.openOf(WriteDelete)
	return open && c.Phase == PhaseDelete || m.Deleted
}

func (st *StreamState) beginCare(s *State, cmd Command) error {
	r := *cmd.Care
	key := r.Member.String()
	m, known := st.Members[key]
	_, begun := st.Aftercare[key]
	switch {
	case !known || r.Member == st.Primary:
		return refuse("%s is not a member to care for", r.Member)
	case begun || st.Attempt != nil || r.Epoch != st.Epoch:
		return refuse("the care of %s has begun, or the stream has gone on", r.Member)
	case r.Kind == CareReturn && m.Retired == 0:
		return refuse("%s was not replaced", r.Member)
	}
	c := Aftercare{Member: r.Member, Kind: r.Kind, Epoch: st.Epoch, Phase: PhaseSeal, BeganAt: cmd.At, Waiting: reasonf(InProgress, "begun")}
	if e := max(m.Retired, m.Stray); e > 0 {
		c.Epoch = e
	}
	switch {
	case m.Deleted, r.Kind == CareRepoint && st.Round.Members[key].Evidence == NotFound:
		c.Phase, c.Asked = PhaseArchived, r.Kind == CareRepoint
	case r.Kind == CareRepoint:
		c.Phase, c.Asked = PhaseArchive, true
	}
	for _, o := range st.Archives {
		if o.Member == c.Member && o.Epoch == c.Epoch {
			c.Again++
		}
	}
	if a := st.Last; a != nil && a.planned() && a.From == r.Member && a.Epoch == m.Retired {
		c.Asked, c.By = true, BySwitchover
	}
	of := m.Original
	if r.Kind == CareRepoint || len(of) == 0 {
		of = m.Config
	}
	if len(of) > 0 { // of one that was made anew a moment ago, nobody has read the config yet: it has that of before
		m.Before = of
	}
	m.SharesMeta = st.neighbours(r.Member) // its config, which tells, will be gone
	st.Members[key], st.Aftercare[key] = m, c
	s.note(cmd.At, st.Name, c.Epoch, "aftercare_started", reasonf(InProgress, "%s is taken care of (%s)", r.Member, r.Kind))
	return nil
}

// askCare notes that a person wants a member back as a mirror.
func (st *StreamState) askCare(s *State, cmd Command) error {
	r := *cmd.Care
	c, begun := st.Aftercare[r.Member.String()]
	if !begun {
		return refuse("%s is not back yet, or its tail is not archived: it can be made a mirror then", r.Member)
	}
	if len(r.Place) > 0 && (c.Phase == PhaseCreate || c.Phase == PhaseCatchUp) {
		return refuse("%s is being made anew already, where it was", r.Member)
	}
	c.Asked, c.By = true, r.By
	if len(r.Place) > 0 {
		c.Place = r.Place
	}
	st.Aftercare[r.Member.String()] = c
	s.note(cmd.At, st.Name, c.Epoch, "rejoin_asked", reasonf(InProgress, "%s asked to make %s a mirror of %s", r.By, r.Member, st.Primary))
	return nil
}

func (st *StreamState) carePhaseDone(s *State, at time.Time, c Aftercare, r CareCommand) error {
	key := c.Member.String()
	m := st.Members[key]
	switch c.Phase {
	case PhaseSeal:
		m.sealed() // by a seal whose copy the server refused, perhaps
		st.Members[key] = m
	case PhaseArchive:
		if r.Tail == nil {
			return refuse("an archive without an account")
		}
		c.Tail = r.Tail
		if m.Deleted {
			break
		}
		if c.Kind == CareReturn || c.Tail.Messages > 0 {
			s.note(at, st.Name, c.Epoch, "tail_salvaged", st.salvaged(c).lostText(r.Reason))
			st.measured(s, at, c)
		}
	case PhaseReplay:
		st.replayed(c, r.Replayed)
		s.note(at, st.Name, c.Epoch, "tail_replayed", r.Reason)
	case PhaseDelete:
		if !m.Deleted {
			return refuse("%s is not deleted", c.Member)
		}
	case PhaseCreate:
		if m.Deleted {
			return refuse("%s is not created", c.Member)
		}
		c.Follow = m.Follows
	}
	c.Steps = append(append([]StepRecord(nil), c.Steps...), StepRecord{Phase: c.Phase, Took: r.Took, At: at, Text: r.Reason.Text})
	next := c.Phase.Row().Next
	if c.Phase == PhaseArchive && r.Replay {
		next = PhaseReplay
	}
	c.Waiting, c.Phase = reasonf(InProgress, "%s is done", c.Phase), next
	if c.Phase == PhaseRejoined {
		st.rejoined(s, at, c)
		return nil
	}
	st.Aftercare[key] = c
	return nil
}

// salvaged keeps the account of an archive, for as long as the stream is guarded.
func (st *StreamState) salvaged(c Aftercare) Archive {
	return st.keepArchive(Archive{Tail: *c.Tail, Member: c.Member, Epoch: c.Epoch, Again: c.Again})
}

// keepArchive replaces what was known of the same archive, and counts what it lacks.
func (st *StreamState) keepArchive(a Archive) Archive {
	a.Short = st.shortOf(a)
	st.Lost += a.Short
	st.Archives = slices.Clone(st.Archives)
	if i := slices.IndexFunc(st.Archives, func(o Archive) bool { return o.Member == a.Member && o.Epoch == a.Epoch && o.Again == a.Again }); i >= 0 {
		st.Lost -= min(st.Lost, st.Archives[i].Short)
		st.Archives[i] = a
		return a
	}
	st.Archives = append(st.Archives, a)
	return a
}

// shortOf is how many sequences a former primary ended before the highest one that was seen of it: a store may lose its newest
// messages with the power. What the primary holds is not among them.
func (st *StreamState) shortOf(a Archive) uint64 {
	for _, o := range st.Lineage {
		if o.Epoch == a.Epoch && o.From == a.Member && a.Again == 0 {
			return o.Seen - min(o.Seen, max(a.MemberLast, o.Fork))
		}
	}
	return 0
}

// lostText adds to a reason what an archive lacks.
func (a Archive) lostText(r Reason) Reason {
	if a.Short > 0 {
		r.Text += fmt.Sprintf("; %d more, up to which it was seen before, are in its store no more: they are lost", a.Short)
	}
	return r
}

// replayed enters what became of an archive's messages.
func (st *StreamState) replayed(c Aftercare, r *Replay) {
	st.Archives = slices.Clone(st.Archives)
	for i, a := range st.Archives {
		if a.of(c) {
			st.Archives[i].Replay = r
		}
	}
}

// rejoined ends the care: the member is a mirror like any other, and what it was counts no more.
func (st *StreamState) rejoined(s *State, at time.Time, c Aftercare) {
	key := c.Member.String()
	m := st.Members[key]
	m.Retired, m.Abandoned, m.Promoted = 0, 0, 0 // a failover in between may have made it a stray
	m.FencedAt, m.ReplacedAt, m.Gone, m.Recreated = time.Time{}, time.Time{}, false, time.Time{}
	st.Members[key] = m
	delete(st.Aftercare, key)
	s.note(at, st.Name, c.Epoch, "rejoined", reasonf(Healthy, "%s is a mirror of %s", c.Member, c.Follow))
}

// mayOpenInCare says which write has its place in which phase of a member's care.
func (st *StreamState) mayOpenInCare(c Aftercare, w Write, m MemberState) error {
	phase := map[WriteKind]Phase{WriteSeal: PhaseSeal, WriteDelete: PhaseDelete, WriteCreate: PhaseCreate}[w.Kind]
	again := w.Kind == WriteDelete && c.Phase == PhaseCreate && m.Deleted // a late create of ours came in between
	if phase != c.Phase && !again {
		return refuse("a %s of %s has no place at %s", w.Kind, w.Member, c.Phase)
	}
	if o, open := m.openOf(WriteCreate); open {
		return refuse("write %s to it is open", o.ID)
	}
	other, remaking := st.remaking(w.Member)
	_, deleting := m.openOf(WriteDelete)
	switch {
	case w.Kind == WriteDelete && remaking && !deleting:
		return refuse("%s is being made anew", other)
	case w.Kind == WriteSeal && m.Retired == 0:
		return refuse("%s was not replaced", w.Member)
	case w.Kind == WriteDelete && c.Tail == nil && !again && m.differs():
		return refuse("the tail of %s is not archived", w.Member)
	case w.Kind == WriteCreate && !m.Deleted:
		return refuse("%s is not deleted", w.Member)
	}
	return nil
}

// openedCare notes what an opened write of a care means for its member.
func (m *MemberState) openedCare(st *StreamState, w Write) {
	if w.Kind == WriteCreate {
		if !m.Created.IsZero() { // what anybody remembers of that is gone
			m.Former, m.Created = m.Created, time.Time{}
		}
		m.Best, m.BestAt, m.Config, m.ConfigSum, m.Gone, m.Recreated = nil, time.Time{}, nil, "", false, time.Time{}
		m.Follows, m.Stray, m.ForkLimit = st.Primary, 0, 0
	}
}

// sealed closes what was sent to the member before it was sealed, and is still on its way: a sealed stream takes no update
// any more, and the server will refuse it.
func (m *MemberState) sealed() {
	for i := range m.Writes {
		if w := &m.Writes[i]; w.Open() && w.Kind != WriteDelete {
			w.Closed, w.Config, w.Detail = ClosedRefused, nil, "the stream is sealed"
		}
	}
}

// returnAgain: a mirror that a late write of ours made a stream of its own is a returned primary again. It is parked,
// archived and made a mirror like one.
func (st *StreamState) returnAgain(key string) {
	m := st.Members[key]
	if m.Want == nil || m.Want.Kind != ShapeMirror || m.Follows == (MemberID{}) || m.Deleted {
		return
	}
	shape, err := ShapeOf(m.Config)
	stamp := StampOf(m.Config).Write
	if err != nil || shape.Kind == ShapeMirror || !m.knows(stamp) || stamp == m.WantWrite || m.ID == st.Primary {
		return
	}
	if a := st.Attempt; a != nil && (m.ID == a.Target || m.ID == a.From) {
		return
	}
	m.Want, m.WantWrite = &Shape{Kind: ShapeParked, Subjects: []string{ParkSubject(m.ID)}}, ""
	m.Retired, m.FencedAt, m.ForkLimit = st.Epoch, time.Time{}, 0
	if st.Last != nil {
		m.ReplacedAt = st.Last.boundAt()
	}
	st.Members[key] = m
	delete(st.Aftercare, key)
}

// CareCommand moves the care of one member on. Apply takes a result only when epoch and phase are the care's.
type CareCommand struct {
	Stream  string        `json:"stream"`
	Member  MemberID      `json:"member"`
	Epoch   uint64        `json:"epoch"`
	Phase   Phase         `json:"phase,omitempty"`
	Kind    CareKind      `json:"kind,omitempty"` // for a begin
	Outcome Outcome       `json:"outcome"`
	Reason  Reason        `json:"reason,omitzero"`
	Took    time.Duration `json:"took,omitempty"`
	Tail    *Tail         `json:"tail,omitempty"`
	// Replay says that the archive is to be published again, and Replayed what became of that.
	Replay   bool    `json:"replay,omitempty"`
	Replayed *Replay `json:"replayed,omitempty"`
	// By and Place are those of a person who asks for the rejoin.
	By    string          `json:"by,omitempty"`
	Place json.RawMessage `json:"place,omitempty"`
}

// Archive is an archive that was made and verified.
type Archive struct {
	Tail
	Member MemberID `json:"member"`
	Epoch  uint64   `json:"epoch"`
	Again  int      `json:"again,omitempty"` // see Aftercare
	// Short counts the messages that the member was seen to hold beyond the primary, and that its store ended before: they are lost.
	Short uint64 `json:"short,omitempty"`
	// Replay is what became of its messages when it was published again by itself; nil when it was not.
	Replay *Replay `json:"replay,omitempty"`
}

// of reports that a care has made the archive.
func (a Archive) of(c Aftercare) bool {
	return a.Member == c.Member && a.Epoch == c.Epoch && a.Again == c.Again
}

// Replay counts what became of an archive's messages; the counts add up to all of them.
type Replay struct {
	Replayed   uint64 `json:"replayed"`   // published again
	OnPrimary  uint64 `json:"on_primary"` // the primary has, or had, its own copy
	Already    uint64 `json:"already"`    // by an earlier replay
	Superseded uint64 `json:"superseded"` // the primary keeps the last of a subject, and has a newer one
	Failed     uint64 `json:"failed"`
}

// Waiting is how many messages of an archive the primary lacks, as far as this log knows: what a person replays counts in
// the archive itself.
func (a Archive) Waiting() uint64 {
	if a.Replay != nil {
		return a.Replay.Superseded + a.Replay.Failed
	}
	return a.Messages - min(a.OnPrimary, a.Messages)
}
