package failover

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/understudy-ha/understudy/policy"
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
			d := p.failed("S")
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
		if d := p.failed("S"); d != firstPause {
			t.Errorf("after a success the first pause is %s", d)
		}
	})
}
