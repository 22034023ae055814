package salvage

import (
	"fmt"
	"strings"
)

// settled is which messages of an archive are known to have been replayed, as runs of origin sequences. The primary
// shows that, too, but only for as long as it keeps them: without this record a message that was replayed, and then
// removed by the primary's limits or its consumers, would be replayed again.
type settled struct {
	old []span // from earlier replays
	now []span // of this one, up to at
	at  uint64
	gap bool // the message at at is not settled
}

// span is a run of settled messages: there may be sequences in it that the archive does not have.
type span struct{ first, last uint64 }

// mostSpans bounds the record: metadata is small. What does not fit is found on the primary, for as long as it is there.
const mostSpans = 1000

func readSettled(text string) (*settled, error) {
	s := &settled{gap: true}
	for part := range strings.FieldsSeq(text) {
		var sp span
		if _, err := fmt.Sscanf(part, "%d-%d", &sp.first, &sp.last); err != nil {
			return nil, fmt.Errorf("%s: %q: %w", metaSettled, part, err)
		}
		s.old = append(s.old, sp)
	}
	return s, nil
}

// has is asked of messages in their order.
func (s *settled) has(seq uint64) bool {
	for len(s.old) > 0 && s.old[0].last < seq {
		s.old = s.old[1:]
	}
	return len(s.old) > 0 && s.old[0].first <= seq
}

// add is told of every message in their order.
func (s *settled) add(seq uint64, is bool) {
	switch {
	case is && s.gap:
		s.now = append(s.now, span{seq, seq})
	case is:
		s.now[len(s.now)-1].last = seq
	}
	s.at, s.gap = seq, !is
}

// String is the record: what this replay found, and of the part that it did not reach what was known before.
func (s *settled) String() string {
	all := s.now
	for _, sp := range s.old {
		if sp.first = max(sp.first, s.at+1); sp.first <= sp.last {
			all = append(all[:len(all):len(all)], sp)
		}
	}
	var parts []string
	for _, sp := range all[:min(len(all), mostSpans)] {
		parts = append(parts, fmt.Sprintf("%d-%d", sp.first, sp.last))
	}
	return strings.Join(parts, " ")
}
