package policy

import (
	"encoding/json"
	"testing"
	"time"
)

// TestCaughtUp has a mirror that was made anew compared with what its primary holds: to sequences that were deleted, as those
// of seeds, it never gets.
func TestCaughtUp(t *testing.T) {
	east, west := MemberID{Site: "east", Stream: "EVENTS"}, MemberID{Site: "west", Stream: "W"}
	for name, c := range map[string]struct {
		mirror, last uint64
		level        bool
		want         Outcome
	}{
		"all of it":                  {20, 20, true, OutcomeDone},
		"all of it, level or not":    {20, 20, false, OutcomeDone},
		"the newest were deleted":    {20, 25, true, OutcomeDone},
		"something is still to come": {20, 25, false, OutcomeWaiting},
	} {
		t.Run(name, func(t *testing.T) {
			st := StreamState{Name: "EVENTS", Primary: west, Epoch: 1, Members: map[string]MemberState{east.String(): {ID: east}},
				Aftercare: map[string]Aftercare{east.String(): {Member: east, Epoch: 1, Phase: PhaseCatchUp, Follow: west}}}
			v := CareViews{Level: c.level,
				Member: View{Evidence: Answered, Snapshot: &Snapshot{LastSeq: c.mirror, Mirror: &MirrorView{Name: "W", Active: time.Millisecond},
					Config: json.RawMessage(`{"name":"EVENTS","mirror":{"name":"W"}}`)}},
				Primary: View{Evidence: Answered, Snapshot: &Snapshot{LastSeq: c.last}}}
			if m := EnsureCare(st, StreamRules{}, "wd", east, v); m.Kind != MoveCare || m.Care.Outcome != c.want {
				t.Errorf("got %s %s (%s), want %s", m.Kind, m.Care.Outcome, m.Care.Reason, c.want)
			}
		})
	}
}
