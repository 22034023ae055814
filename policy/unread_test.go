package policy

import (
	"errors"
	"testing"
	"time"
)

// TestUnread counts what is given up with deleted origins, until the copies of their stores are archived.
func TestUnread(t *testing.T) {
	east, west, eu := memberOf("east/EVENTS"), memberOf("west/W"), memberOf("eu/E")
	st := StreamState{Name: "EVENTS", Primary: eu, Epoch: 5, Lineage: []Succession{{Epoch: 2, From: east, To: west, Fork: 100, Seen: 145}, {Epoch: 5, From: west, To: eu, Fork: 200, Seen: 202}}}
	st.leftUnread(Attempt{Epoch: 2, From: east, Loss: Loss{AtLeast: 45}})
	st.leftUnread(Attempt{Epoch: 5, From: west, Loss: Loss{AtLeast: 2}})
	s := NewState()
	s.Streams = map[string]StreamState{"EVENTS": st}
	tail := Tail{Site: "eu", Stream: "UNDERSTUDY_SALVAGE_EVENTS_2", Fork: 100, MemberLast: 143, Messages: 43, OnPrimary: 1}
	whole := tail
	whole.MemberLast, whole.Messages = 150, 50 // the origin took more than anybody saw
	for _, c := range []struct {
		name    string
		member  MemberID
		epoch   uint64
		tail    Tail
		refused bool
		lost    uint64
		unread  int
		kept    int
	}{
		{"of a failover that never was", east, 3, tail, true, 47, 2, 0},
		{"of another member than was replaced", west, 2, tail, true, 47, 2, 0},
		{"a store that ended before what was seen", east, 2, tail, false, 2 + 2, 1, 1},
		{"the same once more", east, 2, tail, false, 2 + 2, 1, 1},
		{"another copy, which has all", east, 2, whole, false, 2, 1, 1},
		{"one that holds nothing more than the primary", west, 5, Tail{Fork: 199, MemberLast: 199}, false, 2, 0, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			next, err := Apply(s, Command{At: time.Unix(1, 0), Salvaged: &SalvagedCommand{Stream: "EVENTS", By: "ann", Member: c.member, Epoch: c.epoch, Tail: c.tail}})
			if refused := errors.Is(err, ErrRefused); refused != c.refused || !refused && err != nil {
				t.Fatalf("refused %v (%v), want %v", refused, err, c.refused)
			}
			s = next
			got := s.Streams["EVENTS"]
			if got.Lost != c.lost || len(got.Unread) != c.unread || len(got.Archives) != c.kept {
				t.Errorf("lost %d, unread %d, archives %d, want %d, %d, %d", got.Lost, len(got.Unread), len(got.Archives), c.lost, c.unread, c.kept)
			}
		})
	}
	if n := len(s.History); n != 4 || s.History[0].Kind != "tail_salvaged" {
		t.Errorf("history: %+v", s.History)
	}
}
