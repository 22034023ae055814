package policy

import (
	"maps"
	"slices"
	"time"
)

// SpareCommand is about one spare: a write to it is opened or closed, what it held is archived, why it waits, or it is gone.
type SpareCommand struct {
	Stream  string   `json:"stream"`
	Epoch   uint64   `json:"epoch"`        // StreamState.Epoch as the proposer knew it
	For     MemberID `json:"for,omitzero"` // for an Open
	Spare   MemberID `json:"spare"`
	Open    *Write   `json:"open,omitempty"`
	Close   WriteID  `json:"close,omitempty"`
	Tail    *Tail    `json:"tail,omitempty"`
	Gone    bool     `json:"gone,omitempty"`
	Waiting Reason   `json:"waiting,omitzero"`
}

// spareChanged takes a command about a spare.
func (st *StreamState) spareChanged(s *State, cmd Command) error {
	c := *cmd.Spare
	key := c.Spare.String()
	r, known := st.Spares[key]
	r.Writes = slices.Clone(r.Writes)
	switch {
	case c.Open != nil:
		return st.openSpare(s, cmd.At, c, r)
	case !known:
		return refuse("%s is no spare", c.Spare)
	case c.Close != "":
		r.Writes = slices.DeleteFunc(r.Writes, func(w Write) bool { return w.ID == c.Close })
		st.setSpare(r)
		return nil
	case c.Epoch != st.Epoch || st.needsSpare(r):
		return refuse("%s is needed, or the log has gone on", c.Spare)
	case c.Gone:
		st.spareGone(s, cmd.At, r)
		return nil
	case c.Tail != nil:
		r.Tail = c.Tail
		if c.Tail.Messages > 0 {
			st.spareSalvaged(s, cmd.At, r)
		}
	default:
		r.Waiting = c.Waiting
		s.note(cmd.At, st.Name, st.Epoch, "spare_waiting", c.Waiting)
	}
	st.setSpare(r)
	return nil
}

// setSpare stores a spare in a map of this state's own.
func (st *StreamState) setSpare(r Spare) {
	if st.Spares = maps.Clone(st.Spares); st.Spares == nil {
		st.Spares = map[string]Spare{}
	}
	st.Spares[r.ID.String()] = r
}

// spareGone forgets a spare that was seen deleted, unless a create of it may still arrive.
func (st *StreamState) spareGone(s *State, at time.Time, r Spare) {
	deleting := r.open(WriteUnspare)
	r.Writes = slices.DeleteFunc(r.Writes, func(w Write) bool { return w.Kind == WriteUnspare })
	st.setSpare(r)
	if len(r.Writes) == 0 {
		delete(st.Spares, r.ID.String())
		deleting = true
	}
	if deleting && !r.Gone() {
		s.note(at, st.Name, st.Epoch, "spare_removed", reasonf(Healthy, "%s, a spare copy, is not needed any more, and deleted", r.ID))
	}
}

// spareSalvaged keeps the account of what a spare held alone.
func (st *StreamState) spareSalvaged(s *State, at time.Time, r Spare) {
	st.keepArchive(Archive{Tail: *r.Tail, Member: r.ID, Epoch: r.Stray})
	s.note(at, st.Name, r.Stray, "tail_salvaged", reasonf(InProgress, "%d messages of %s, a spare copy, above sequence %d are archived in %s at %s and verified; %s holds %d of them as well",
		r.Tail.Messages, r.ID, r.Tail.Fork, r.Tail.Stream, r.Tail.Site, st.Primary, r.Tail.OnPrimary))
}

// openSpare logs a write to a spare before it is sent.
func (st *StreamState) openSpare(s *State, at time.Time, c SpareCommand, r Spare) error {
	w := *c.Open
	if err := st.mayOpenSpare(*s, c, r); err != nil {
		return err
	}
	st.WriteSeq++
	w.Seq, w.Closed = st.WriteSeq, ""
	if w.Kind == WriteSpare {
		if r.ID == (MemberID{}) {
			r = Spare{ID: c.Spare, For: c.For, Follow: st.Primary, N: w.Seq}
			s.note(at, st.Name, st.Epoch, "spare_begun", reasonf(InProgress, "%s is the only other copy of %s: a spare one, %s, is made first", c.For, st.Primary, c.Spare))
		}
		care := st.Aftercare[c.For.String()]
		care.Spare = c.Spare
		st.Aftercare[c.For.String()] = care
		w.Config = nil // each is sent once
	}
	r.Writes, r.Waiting = append(r.Writes, w), Reason{}
	st.setSpare(r)
	return nil
}

func (st *StreamState) mayOpenSpare(s State, c SpareCommand, r Spare) error {
	w, care := *c.Open, st.Aftercare[c.For.String()]
	known := r.ID != MemberID{}
	held, _ := holding(s, *st)
	switch {
	case held:
		return refuse("%s is held", st.Name)
	case st.Attempt != nil || c.Epoch != st.Epoch:
		return refuse("the write is of epoch %d, and the log has gone on", c.Epoch)
	case w.ID != NewWriteID(st.Epoch, w.Kind, int(st.WriteSeq)+1) || w.Member != c.Spare:
		return refuse("write id %s is not the next one", w.ID)
	case w.Kind == WriteSpare && (care.Phase != PhaseDelete || known && !st.needsSpare(r) || !known && care.Spare != MemberID{}):
		return refuse("%s needs no spare", c.For)
	case w.Kind == WriteUnspare && (!known || st.needsSpare(r)):
		return refuse("%s is no spare that is needed no more", c.Spare)
	case w.Kind == WriteUnspare && r.Stray > 0 && r.Tail == nil:
		return refuse("what %s may hold alone is not archived", c.Spare)
	case w.Kind != WriteSpare && w.Kind != WriteUnspare:
		return refuse("a %s is none of a spare", w.Kind)
	}
	return nil
}

// leaveSpares: the primary is another one, at epoch. What a spare holds beyond limit that one may lack; 0: nobody knows.
func (st *StreamState) leaveSpares(epoch, limit uint64) {
	st.Spares = maps.Clone(st.Spares)
	for key, r := range st.Spares {
		if r.Stray == 0 || limit < r.ForkLimit {
			r.ForkLimit = limit
		}
		r.Stray, r.Tail = epoch, nil
		st.Spares[key] = r
	}
	for key, c := range st.Aftercare {
		c.Spare = MemberID{}
		st.Aftercare[key] = c
	}
}

// findSpares takes in spares that a site lists, and the log does not hold: they are of one that was lost. What they may hold
// alone is archived.
func (st *StreamState) findSpares(s *State, at time.Time, found []Spare) {
	for _, r := range found {
		if _, known := st.Spares[r.ID.String()]; known {
			continue
		}
		r.Stray, r.Writes = max(st.Epoch, 1), nil
		st.setSpare(r)
		s.note(at, st.Name, st.Epoch, "spare_found", reasonf(InProgress, "%s is a spare copy that nobody needs any more: it is archived where it differs from %s, and deleted", r.ID, st.Primary))
	}
}

// dropSpares leaves the spares of which somebody made something else to those who adopt what is there.
func (st *StreamState) dropSpares(s *State, at time.Time) {
	st.Spares = maps.Clone(st.Spares)
	for _, key := range sortedKeys(st.Spares) {
		if r := st.Spares[key]; r.Waiting.Code == ChangedOutside {
			delete(st.Spares, key)
			s.note(at, st.Name, st.Epoch, "spare_left", reasonf(ChangedOutside, "%s was a spare copy of %s: it is left as somebody made it", r.ID, r.Follow))
		}
	}
}
