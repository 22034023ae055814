package policy

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// SourceTrace finds out how far a halted stream got with each of its former sources, from the `Nats-Stream-Source` headers
// of its messages, newest first: `<stream>[:<hash of the API prefix>] <sequence> <filter> <destination> <subject> [<identity>]`.
type SourceTrace struct {
	seeks []*sourceSeek
}

// sourceSeek looks for one source's newest header, of any of the primaries.
type sourceSeek struct {
	names  map[string]MemberID // as a header names them
	filter string
	from   MemberID
	fork   uint64
	pos    SourcePosition
	done   bool
}

// SourcePosition is how far a stream got with one source.
type SourcePosition struct {
	// Found says that a message of it was found: the newest one had sequence Seq on Of, a primary of some time.
	Found bool
	Of    MemberID
	Seq   uint64
	// Beyond counts the messages that the source's own primary gave above the fork.
	Beyond uint64
}

// TraceSources begins a trace for a sourcing stream.
func TraceSources(s State, rules Rules, name string, c Sourcing) *SourceTrace {
	l, t := s.lineageAt(rules, name, c.Stream.Site), &SourceTrace{}
	for _, f := range c.Former {
		var src source
		_ = json.Unmarshal(f.Source, &src) // it was read when it was found
		t.seeks = append(t.seeks, &sourceSeek{names: l.headerNames(), filter: filterIndex(src), from: f.From, fork: l.fork(f.From, f.Since)})
	}
	return t
}

// headerNames are the names by which a header may call the primaries.
func (l lineage) headerNames() map[string]MemberID {
	names := map[string]MemberID{}
	for _, s := range l.st.Lineage {
		for _, id := range []MemberID{s.From, s.To} {
			for _, prefix := range l.prefixes(id) {
				name := id.Stream
				if prefix != "" {
					name += ":" + serverHash(prefix)
				}
				names[name] = id
			}
		}
	}
	return names
}

// Take looks at the next older header, and says whether a still older one is of interest.
func (t *SourceTrace) Take(header string) (more bool) {
	fields := strings.Split(header, " ")
	if len(fields) < 4 {
		return t.more()
	}
	seq, err := strconv.ParseUint(fields[1], 10, 64)
	for _, s := range t.seeks {
		if of, known := s.names[fields[0]]; known && err == nil && !s.done && fields[2]+" "+fields[3] == s.filter {
			s.take(of, seq)
		}
	}
	return t.more()
}

func (s *sourceSeek) take(of MemberID, seq uint64) {
	if !s.pos.Found {
		s.pos.Found, s.pos.Of, s.pos.Seq = true, of, seq
	}
	s.done = of != s.from || seq <= s.fork
	if !s.done {
		s.pos.Beyond++
	}
}

func (t *SourceTrace) more() bool {
	return slices.ContainsFunc(t.seeks, func(s *sourceSeek) bool { return !s.done })
}

// Positions are what was found, in the order of Sourcing.Former.
func (t *SourceTrace) Positions() []SourcePosition {
	list := make([]SourcePosition, 0, len(t.seeks))
	for _, s := range t.seeks {
		list = append(list, s.pos)
	}
	return list
}

// startOf is where a source is resumed at the primary: after the last message that it took, and not above the fork, since
// sequences above it mean other messages there. 0 leaves it as it was told to begin. known is false when nothing tells.
func (l lineage) startOf(f FormerSource, pos SourcePosition, whole bool) (start uint64, known bool) {
	fork, last := l.fork(f.From, f.Since), f.Seq
	var src source
	_ = json.Unmarshal(f.Source, &src)      // it was read when it was found
	if f.Since > 0 && src.OptStartSeq > 0 { // we had it begin there, after all that it had taken before
		last = max(last, src.OptStartSeq-1)
	}
	switch {
	case pos.Found && pos.Of == l.st.Primary:
		return pos.Seq + 1, true
	case pos.Found && pos.Of == f.From:
		last = max(last, pos.Seq)
	case pos.Found && last == 0:
		last = pos.Seq
	}
	if last == 0 {
		return 0, whole
	}
	return min(last, fork) + 1, true
}
