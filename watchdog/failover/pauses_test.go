package failover

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

func TestStillness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := func(seq uint64) policy.View {
			return policy.View{Evidence: policy.Answered, Snapshot: &policy.Snapshot{LastSeq: seq}}
		}
		var s stillness
		for i, step := range []struct {
			after time.Duration
			view  policy.View
			want  bool
		}{
			{0, at(7), false}, {stillFor - time.Nanosecond, at(7), false}, {time.Nanosecond, at(7), true}, {time.Second, at(8), false}, {stillFor, at(8), true},
			{0, policy.View{Evidence: policy.Timeout}, false}, {time.Second, at(8), false}, {stillFor, at(8), true},
		} {
			time.Sleep(step.after)
			if got := s.of(step.view); got != step.want {
				t.Errorf("reading %d: still %t, want %t", i, got, step.want)
			}
		}
	})
}

func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPatience()
		var pauses []time.Duration
		for range 7 {
			if !p.mayTry("S") {
				t.Fatal("a pause does not end")
			}
			d := p.failed("S", longestPause)
			pauses = append(pauses, d)
			time.Sleep(d - time.Nanosecond)
			if p.mayTry("S") {
				t.Errorf("tried again before %s are over", d)
			}
			if !p.mayTry("OTHER") {
				t.Error("another stream waits, too")
			}
			time.Sleep(time.Nanosecond)
		}
		want := []time.Duration{1, 2, 4, 8, 16, 30, 30}
		for i := range want {
			want[i] *= time.Second
		}
		if !slices.Equal(pauses, want) {
			t.Errorf("pauses %v, want %v", pauses, want)
		}
		p.worked("S")
		if d := p.failed("S", longestPause); d != firstPause {
			t.Errorf("after a success the first pause is %s", d)
		}
	})
}

// TestFenceIsNotPatient: only the fence of a returned origin is tried again soon, and only while there is no meta leader.
func TestFenceIsNotPatient(t *testing.T) {
	old, other := policy.MemberID{Site: "east", Stream: "S"}, policy.MemberID{Site: "west", Stream: "S"}
	st := policy.StreamState{Members: map[string]policy.MemberState{old.String(): {ID: old, Retired: 1}, other.String(): {ID: other}}}
	noMeta := fmt.Errorf("update: %w", jsapi.ErrMetaUnavailable)
	for name, test := range map[string]struct {
		write   policy.Write
		refused error
		want    time.Duration
	}{
		"a fence without a meta leader": {policy.Write{Kind: policy.WritePark, Member: old}, noMeta, capturePause},
		"a fence that is not allowed":   {policy.Write{Kind: policy.WritePark, Member: old}, jsapi.ErrPermission, longestPause},
		"a park of no old origin":       {policy.Write{Kind: policy.WritePark, Member: other}, noMeta, longestPause},
		"another repair":                {policy.Write{Kind: policy.WriteBind, Member: old}, noMeta, longestPause},
	} {
		if got := longestAfter(st, test.write, test.refused); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}
