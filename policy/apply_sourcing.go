package policy

import (
	"maps"
	"slices"
)

// SourceCommand is about the streams that source from a guarded one: the outcome of a search at one site, or, of one such
// stream, a write opened or closed or what its re-pointing came to.
type SourceCommand struct {
	Stream string `json:"stream"`
	Epoch  uint64 `json:"epoch"` // StreamState.Epoch as the proposer knew it

	// Site was searched, and lists Found. Missing were not heard of. Report notes those that are new in the history.
	// Spares are spare copies there, which the log may have lost.
	Site    string     `json:"site,omitempty"`
	Found   []Sourcing `json:"found,omitempty"`
	Missing []string   `json:"missing,omitempty"`
	Report  bool       `json:"report,omitempty"`
	Spares  []Spare    `json:"spares,omitempty"`

	Of MemberID `json:"of,omitzero"`
	// Open is a write to be logged, with the halted sources as it knows them.
	Open   *Write         `json:"open,omitempty"`
	Former []FormerSource `json:"former,omitempty"`
	// Close ends a write that can do nothing any more, or whose effect is seen.
	Close WriteID `json:"close,omitempty"`

	Outcome Outcome `json:"outcome,omitempty"`
	Reason  Reason  `json:"reason,omitzero"`
}

// source applies one.
func (st *StreamState) source(s *State, cmd Command) error {
	c := *cmd.Source
	if c.Epoch != st.Epoch && c.Close == "" {
		return refuse("it is of epoch %d, the log is at %d", c.Epoch, st.Epoch)
	}
	st.Sourcing = maps.Clone(st.Sourcing)
	if c.Site != "" {
		return st.searched(s, cmd)
	}
	r, known := st.Sourcing[c.Of.String()]
	if !known {
		return refuse("%s is not known to source from %s", c.Of, st.Name)
	}
	r.Writes = slices.Clone(r.Writes)
	switch {
	case c.Open != nil:
		if err := st.openSource(*s, c, &r); err != nil {
			return err
		}
	case c.Close != "":
		if err := r.close(c); err != nil {
			return err
		}
	case c.Outcome == OutcomeWaiting:
		r.Waiting = c.Reason
	case c.Outcome == OutcomeDone:
		r.Done, r.Waiting = true, c.Reason
		s.note(cmd.At, st.Name, r.Epoch, "source_repointed", c.Reason)
	case c.Outcome == OutcomeAbort: // it is not what it was: whatever has its name now is found anew
		delete(st.Sourcing, c.Of.String())
		st.Scans = maps.Clone(st.Scans)
		delete(st.Scans, c.Of.Site)
		return nil
	default:
		return refuse("the command is empty")
	}
	st.Sourcing[c.Of.String()] = r
	return nil
}

// searched takes in what a site lists. A stream that another site lists, too, is the same.
func (st *StreamState) searched(s *State, cmd Command) error {
	c := *cmd.Source
	if st.Sourcing == nil {
		st.Sourcing = map[string]Sourcing{}
	}
	st.Scans = maps.Clone(st.Scans)
	if st.Scans == nil {
		st.Scans = map[string]Scan{}
	}
	for _, f := range c.Found {
		key, known := f.Stream.String(), false
		for k, o := range st.Sourcing {
			known = known || k != key && o.Stream.Stream == f.Stream.Stream && o.Created.Equal(f.Created)
		}
		old, has := st.Sourcing[key]
		if known || has && !old.Done && old.Created.Equal(f.Created) {
			continue
		}
		f.Writes = old.Writes
		st.Sourcing[key] = f
		if c.Report || f.ByHand != "" {
			s.note(cmd.At, st.Name, f.Epoch, "repoint_due", reasonf(AwaitingApproval, "%s sources from %s, which was replaced by %s", f.Stream, f.From, st.Primary))
		}
	}
	st.findSpares(s, cmd.At, c.Spares)
	st.Scans[c.Site] = Scan{Epoch: st.SearchEpoch(), Missing: c.Missing}
	return nil
}

// openSource logs a write to a sourcing stream before it is sent.
func (st *StreamState) openSource(s State, c SourceCommand, r *Sourcing) error {
	held, _ := holding(s, *st)
	w := *c.Open
	switch {
	case held:
		return refuse("%s is held", st.Name)
	case st.Attempt != nil:
		return refuse("%s %d is running", st.Attempt.Kind, st.Attempt.Epoch)
	case w.Kind != WriteHalt && w.Kind != WriteResume || w.Member != r.Stream || len(c.Former) == 0:
		return refuse("a %s of %s is none of a source", w.Kind, w.Member)
	case w.Kind == WriteResume && len(r.Former) == 0:
		return refuse("%s was not halted", r.Stream)
	case w.ID != NewWriteID(st.Epoch, w.Kind, int(st.WriteSeq)+1):
		return refuse("write id %s is not the next one", w.ID)
	}
	st.WriteSeq++
	w.Seq, w.Closed = st.WriteSeq, ""
	r.Writes, r.Former, r.Done = append(r.Writes, w), c.Former, false
	return nil
}

// close ends a write. Closed ones are of no more use: what a late copy does is seen by the sources themselves.
func (r *Sourcing) close(c SourceCommand) error {
	i := slices.IndexFunc(r.Writes, func(w Write) bool { return w.ID == c.Close })
	if i < 0 {
		return refuse("write %s to %s is not open", c.Close, r.Stream)
	}
	r.Writes = slices.Delete(r.Writes, i, i+1)
	return nil
}
