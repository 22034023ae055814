package failover

import (
	"errors"
	"testing"

	"github.com/understudy-ha/understudy/policy"
)

// TestCareWaits wants leadership to be passed on only for what this leader does not reach: a member that waits until
// another one is back, such as the only other copy of the primary, would make it go to and fro for the whole outage.
func TestCareWaits(t *testing.T) {
	id := policy.MemberID{Site: "eu", Stream: "EVENTS_EU"}
	for _, c := range []struct {
		name   string
		code   policy.Code
		silent bool
		want   error
	}{
		{"for another copy", policy.Unreachable, false, nil},
		{"for an answer", policy.Unreachable, true, ErrUnreached},
		{"for something else", policy.InProgress, true, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			waiting := policy.Reason{Code: c.code, Text: "as it is in the log already"}
			st := policy.StreamState{Aftercare: map[string]policy.Aftercare{id.String(): {Member: id, Waiting: waiting}}}
			care := carer{h: New(Options{}), id: id, silent: c.silent}
			more, err := care.result(t.Context(), st, policy.CareCommand{Outcome: policy.OutcomeWaiting, Reason: waiting})
			if more || !errors.Is(err, c.want) {
				t.Errorf("more %v, %v, want %v", more, err, c.want)
			}
		})
	}
}
