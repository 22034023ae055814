package policy

import (
	"testing"
	"time"
)

var bindTime = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// TestCaptureIsMeasured: what an archive shows goes into the account of the return that was seen, or into one of its own.
func TestCaptureIsMeasured(t *testing.T) {
	east := MemberID{Site: "east", Stream: "EVENTS"}
	stored := Stored{Messages: 7, First: 21, Last: 27, FirstAt: bindTime.Add(time.Second), LastAt: bindTime.Add(4 * time.Second)}
	seen := Capture{Member: east, Epoch: 2, SeenAt: bindTime.Add(2 * time.Second), Fenced: bindTime.Add(3 * time.Second)}
	for name, test := range map[string]struct {
		before   []Capture
		stored   Stored
		captures int
		exposed  time.Duration // of the newest
		told     int
	}{
		"seen, and stored more":   {[]Capture{seen}, stored, 1, 3 * time.Second, 1},
		"seen, and stored none":   {[]Capture{seen}, Stored{}, 1, time.Second, 0},
		"never seen, but stored":  {nil, stored, 1, 3 * time.Second, 1},
		"never seen, stored none": {nil, Stored{}, 0, 0, 0},
		"of another epoch":        {[]Capture{{Member: east, Epoch: 1, SeenAt: bindTime, Fenced: bindTime}}, stored, 2, 3 * time.Second, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := NewState()
			st := StreamState{Name: "EVENTS", DualCapture: test.before, Members: map[string]MemberState{}}
			st.measured(&s, bindTime, Aftercare{Member: east, Epoch: 2, Tail: &Tail{Captured: test.stored}})
			if len(st.DualCapture) != test.captures || len(s.History) != test.told {
				t.Fatalf("%+v, told %d times", st.DualCapture, len(s.History))
			}
			if n, span := st.Captured(); n != test.stored.Messages || span != test.stored.Span() {
				t.Errorf("captured %d messages in %s", n, span)
			}
			if n := len(st.DualCapture); n > 0 && st.DualCapture[n-1].Exposed(bindTime.Add(time.Hour)) != test.exposed {
				t.Errorf("exposed for %s, want %s", st.DualCapture[n-1].Exposed(bindTime.Add(time.Hour)), test.exposed)
			}
		})
	}
}

// TestExposed has captures that last, and those whose ends two clocks have seen.
func TestExposed(t *testing.T) {
	for name, test := range map[string]struct {
		c    Capture
		want time.Duration
	}{
		"lasts":            {Capture{SeenAt: bindTime}, time.Minute},
		"clocks differ":    {Capture{SeenAt: bindTime, Fenced: bindTime.Add(-time.Second)}, 0},
		"the clock jumped": {Capture{SeenAt: bindTime.Add(time.Hour)}, 0},
		"one message":      {Capture{Stored: &Stored{Messages: 1, FirstAt: bindTime, LastAt: bindTime}}, 0},
	} {
		if got := test.c.Exposed(bindTime.Add(time.Minute)); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}
