package policy

import (
	"slices"
	"time"
)

// Capture measures the time in which a retired origin took messages beside the new primary: first as it was seen, from
// SeenAt to Fenced, and exactly, once its tail is archived.
type Capture struct {
	Member  MemberID  `json:"member"`
	Epoch   uint64    `json:"epoch"`
	SeenAt  time.Time `json:"seen_at"`          // first seen answering unparked
	Fenced  time.Time `json:"fenced,omitzero"`  // read back parked
	FromSeq uint64    `json:"from_seq"`         // its last_seq when first seen
	ToSeq   uint64    `json:"to_seq,omitempty"` // its last_seq when read back parked
	// Stored is what the archive shows; nil until there is one. An origin that was never seen unparked, since it had taken
	// its fence by then, may have captured, too.
	Stored *Stored `json:"stored,omitempty"`
}

// Stored is what an old origin stored after the new primary was bound. The times are those of its messages, by its
// servers' clock; the bind is known by the clock of the watchdog that led: so they are as exact as these clocks agree.
type Stored struct {
	Messages uint64    `json:"messages"`
	First    uint64    `json:"first,omitempty"` // sequences on the old origin
	Last     uint64    `json:"last,omitempty"`
	FirstAt  time.Time `json:"first_at,omitzero"`
	LastAt   time.Time `json:"last_at,omitzero"`
}

// Span is the time from the first to the last of the messages; 0 when there are none, or one.
func (s Stored) Span() time.Duration { return s.LastAt.Sub(s.FirstAt) }

// Exposed is how long the origin took messages, or would have, had anybody published to it: as it was seen or, if that is
// more, as its messages show. now ends what still lasts. It is never negative, whatever the clocks of different watchdogs.
func (c Capture) Exposed(now time.Time) time.Duration {
	end := c.Fenced
	switch {
	case c.SeenAt.IsZero():
		end = c.SeenAt
	case end.IsZero():
		end = now
	}
	d := max(end.Sub(c.SeenAt), 0)
	if c.Stored != nil {
		d = max(d, c.Stored.Span())
	}
	return d
}

// Captured sums up the exact accounts: the messages, and the time from the first to the last of each old origin's.
func (s StreamState) Captured() (messages uint64, span time.Duration) {
	for _, c := range s.DualCapture {
		if c.Stored != nil {
			messages += c.Stored.Messages
			span += c.Stored.Span()
		}
	}
	return messages, span
}

// measured enters what the archive shows into the account of the member's return, the first if there were several: the
// archive is of them all.
func (st *StreamState) measured(s *State, at time.Time, c Aftercare) {
	stored := c.Tail.Captured
	i := slices.IndexFunc(st.DualCapture, func(d Capture) bool { return d.Member == c.Member && d.Epoch == c.Epoch })
	if i < 0 && stored.Messages == 0 {
		return
	}
	if i < 0 {
		st.DualCapture = append(st.DualCapture, Capture{Member: c.Member, Epoch: c.Epoch, Fenced: st.Members[c.Member.String()].FencedAt})
		i = len(st.DualCapture) - 1
	}
	st.DualCapture[i].Stored = &stored
	if stored.Messages > 0 {
		s.note(at, st.Name, c.Epoch, "dual_capture", reasonf(DualCapture, "%s stored %s (%d to %d) in %s after %s had been bound, from %s to %s",
			c.Member, messages(stored.Messages), stored.First, stored.Last, stored.Span().Round(time.Millisecond), st.Primary,
			stored.FirstAt.UTC().Format(time.RFC3339Nano), stored.LastAt.UTC().Format(time.RFC3339Nano)))
	}
}
