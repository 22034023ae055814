package policy

import "time"

// SourceView is what was read just now of a stream that sources from a replaced primary.
type SourceView struct {
	View
	// Seqs are how far it got with each source, by SourceIndex, where its server says so (API level 5).
	Seqs map[string]uint64
	// Level is the API level there.
	Level int
	// Waited is the time since this leader saw its oldest open write first.
	Waited time.Duration
	// Positions are how far it got by its messages, once they were read after the halt.
	Positions []SourcePosition
}

// sourceLost is how long a write to a sourcing stream may take to show its effect. After it another is sent; the lost one
// stays open, and what it may still do is put right.
const sourceLost = 10 * time.Second

// identityLevel is the API level from which on a server tells a source that was made anew from the one of before. Below it a
// source goes on where it once stopped to follow a stream of that name, wherever it is told to begin.
const identityLevel = 5

// EnsureSource is Ensure for one sourcing stream: the one next move, given what was read just now.
func EnsureSource(s State, rules Rules, name, node string, id MemberID, v SourceView) Move {
	l := s.lineageAt(rules, name, id.Site)
	c, known := l.st.Sourcing[id.String()]
	if !known {
		return Move{Kind: MoveNone}
	}
	e := sourcer{lineage: l, c: c, node: node, v: v}
	switch {
	case v.Evidence == NotFound || v.Snapshot != nil && !v.Snapshot.Created.Equal(c.Created):
		return e.result(OutcomeAbort, reasonf(ChangedOutside, "%s was deleted, or created anew", id))
	case !v.answered():
		return e.wait(Unreachable, "%s does not answer (%s)", id, v.Evidence)
	}
	return e.ensure()
}

type sourcer struct {
	lineage
	c    Sourcing
	node string
	v    SourceView
}

func (e sourcer) result(o Outcome, r Reason) Move {
	return Move{Kind: MoveSource, Source: SourceCommand{Stream: e.st.Name, Epoch: e.st.Epoch, Of: e.c.Stream, Outcome: o, Reason: r}}
}

func (e sourcer) wait(code Code, format string, args ...any) Move {
	return e.result(OutcomeWaiting, reasonf(code, format, args...))
}

func (e sourcer) ensure() Move {
	raw := e.v.Snapshot.Config
	for _, w := range e.c.Writes {
		if w.Open() && StampOf(raw).Write == w.ID {
			m := e.result("", Reason{})
			m.Source.Close = w.ID
			return m
		}
	}
	former := e.former(raw)
	switch {
	case len(former) == 0 && len(e.pending()) == 0 && e.c.Done:
		return Move{Kind: MoveNone}
	case len(former) == 0 && len(e.pending()) == 0:
		return e.done()
	case e.sr.Repoint != RepointAuto && len(e.c.Former) == 0:
		return e.wait(AwaitingApproval, "%s sources from %s, which was replaced: have it source from %s (repoint: report)", e.c.Stream, e.c.From, e.st.Primary)
	case e.c.ByHand != "" && len(e.c.Former) == 0:
		return e.wait(AwaitingApproval, "%s sources from %s, which was replaced: have it source from %s by hand, since %s", e.c.Stream, e.c.From, e.st.Primary, e.c.ByHand)
	case e.c.open() && e.v.Waited < sourceLost:
		return e.wait(WriteOpen, "a write to %s may still take effect", e.c.Stream)
	case len(former) > 0:
		return e.halt(former)
	case e.v.Positions == nil:
		return Move{Kind: MoveTrace}
	}
	return e.resume()
}

// pending are the halted sources that the stream does not have again, of the primary.
func (e sourcer) pending() []FormerSource {
	var list []FormerSource
	external := e.prefixes(e.st.Primary)
	have := map[string]bool{}
	for _, src := range sourcesOf(e.v.Snapshot.Config) {
		have[sourceIndex(src)] = true
	}
	for _, f := range e.c.Former {
		if len(external) == 0 {
			list = append(list, f)
			continue
		}
		if src, err := repointed(f, e.st.Primary, external[0]); err != nil || !have[sourceIndex(src)] {
			list = append(list, f)
		}
	}
	return list
}

// halt takes the replaced primary out of the sources, once it is known that the way on is open.
func (e sourcer) halt(former []FormerSource) Move {
	level := e.v.Level
	if now := e.st.Round.Members[e.st.Primary.String()].Now; now != nil && now.APILevel > 0 {
		level = min(level, now.APILevel)
	}
	switch {
	case len(e.prefixes(e.st.Primary)) == 0:
		return e.wait(AwaitingApproval, "how %s reaches %s is not known: name the domains of both sites, or have it source from there by hand", e.c.Stream, e.st.Primary)
	case e.revisited() && level < identityLevel:
		return e.wait(AwaitingApproval, "%s may have sourced from %s before, and a server below API level %d would go on from there: remake it by hand", e.c.Stream, e.st.Primary, identityLevel)
	}
	for i, f := range former {
		former[i].Seq = e.v.Seqs[sourceIndex(f.Source)]
	}
	for _, old := range e.c.Former {
		if !e.halts(former, old) {
			former = append(former, old)
		}
	}
	w := e.write(WriteHalt)
	var err error
	if w.Config, err = HaltConfig(e.v.Snapshot.Config, e.c.Stream, former, Stamp{Write: w.ID, Watchdog: e.node}); err != nil {
		return e.wait(ChangedOutside, "%s: %v", e.c.Stream, err)
	}
	return Move{Kind: MoveSend, Write: w, Source: SourceCommand{Stream: e.st.Name, Epoch: e.st.Epoch, Of: e.c.Stream, Open: &w, Former: former}}
}

// halts says whether a source that was halted before is among those to be halted now, taken from another primary.
func (e sourcer) halts(former []FormerSource, old FormerSource) bool {
	for _, f := range former {
		if filterOf(f) == filterOf(old) {
			return true
		}
	}
	return false
}

func (e sourcer) write(kind WriteKind) Write {
	return Write{ID: NewWriteID(e.st.Epoch, kind, int(e.st.WriteSeq)+1), Kind: kind, Member: e.c.Stream, Via: e.c.Stream.Site}
}

// resume has the stream source from the primary, after what it has.
func (e sourcer) resume() Move {
	s := e.v.Snapshot
	whole := e.v.Level >= identityLevel || s.FirstSeq <= 1 && s.Deleted == 0 // what it took is remembered, or still there
	former := append([]FormerSource(nil), e.c.Former...)
	for i, f := range former {
		pos, known := e.v.Positions[i], false
		if former[i].Start, known = e.startOf(f, pos, whole); !known {
			return e.wait(AwaitingApproval, "nothing tells how far %s got with %s: have it source from %s by hand", e.c.Stream, f.From, e.st.Primary)
		}
		former[i].Beyond = pos.Beyond
	}
	prefixes := e.prefixes(e.st.Primary)
	if len(prefixes) == 0 {
		return e.wait(AwaitingApproval, "how %s reaches %s is not known any more", e.c.Stream, e.st.Primary)
	}
	w := e.write(WriteResume)
	var err error
	if w.Config, err = ResumeConfig(s.Config, e.c.Stream, e.st.Primary, prefixes[0], former, Stamp{Write: w.ID, Watchdog: e.node}); err != nil {
		return e.wait(ChangedOutside, "%s: %v", e.c.Stream, err)
	}
	return Move{Kind: MoveSend, Write: w, Source: SourceCommand{Stream: e.st.Name, Epoch: e.st.Epoch, Of: e.c.Stream, Open: &w, Former: former}}
}

// done says where the stream goes on.
func (e sourcer) done() Move {
	text := Reason{Code: Healthy, Text: e.c.Stream.String() + " does not source from a former primary any more"}
	for _, f := range e.c.Former {
		text = reasonf(Healthy, "%s sources from %s", e.c.Stream, e.st.Primary)
		if f.Start > 0 {
			text = reasonf(Healthy, "%s sources from %s, from sequence %d on", e.c.Stream, e.st.Primary, f.Start)
		}
		if f.Beyond > 0 {
			text.Text += reasonf("", "; %d messages of the tail of %s are in it, too", f.Beyond, f.From).Text
		}
	}
	return e.result(OutcomeDone, text)
}
