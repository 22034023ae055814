package failover

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

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
			time.Sleep(d - 1)
			if p.mayTry("S") {
				t.Errorf("tried again before %s are over", d)
			}
			if !p.mayTry("OTHER") {
				t.Error("another stream waits, too")
			}
			time.Sleep(1)
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
