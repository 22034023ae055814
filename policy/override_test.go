package policy

import (
	"fmt"
	"testing"
	"time"
)

// TestOverrides: requests stand beside each other, count once however often they are passed on, and end by the clock.
func TestOverrides(t *testing.T) {
	noon := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	s := NewState()
	ask := func(at time.Time, id string, streams ...string) {
		t.Helper()
		next, err := Apply(s, Command{At: at, Override: &OverrideCommand{Override: Override{ID: id, By: "op", Streams: streams}}})
		if err != nil {
			t.Fatal(err)
		}
		s = next
	}
	live := func(at time.Time, stream string) string {
		s := s
		s.At = at
		if o := s.liveOverride(stream); o != nil {
			return o.ID
		}
		return ""
	}
	ask(noon, "a", "A")
	ask(noon.Add(2*time.Second), "b", "B")
	ask(noon.Add(9*time.Second), "a", "A") // passed on again: it does not last longer
	for _, c := range []struct {
		after        time.Duration
		stream, want string
	}{
		{9 * time.Second, "A", "a"}, {9 * time.Second, "B", "b"}, {9 * time.Second, "C", ""},
		{11 * time.Second, "A", ""}, {11 * time.Second, "B", "b"}, {13 * time.Second, "B", ""},
		{-500 * time.Millisecond, "A", "a"}, {-5 * time.Minute, "A", ""}, // a leader whose clock is behind
	} {
		if got := live(noon.Add(c.after), c.stream); got != c.want {
			t.Errorf("%s after %s: %q is live, want %q", c.stream, c.after, got, c.want)
		}
	}
	s.answer("a", "A", reasonf(Healthy, "it answers"))
	if got := live(noon.Add(time.Second), "A"); got != "" {
		t.Errorf("%s was answered, and is live", got)
	}
	if o, ok := s.OverrideByID("a"); !ok || o.Outcomes["A"].Code != Healthy {
		t.Errorf("the outcome of a: %+v %t", o, ok)
	}
	ask(noon.Add(3*time.Second), "all")
	if a, b := live(noon.Add(4*time.Second), "A"), live(noon.Add(4*time.Second), "B"); a != "all" || b != "all" {
		t.Errorf("a request for everything: %q and %q are live, want the newest", a, b)
	}
	for i := range 2 * maxOverrides {
		ask(noon, fmt.Sprint(i))
	}
	if len(s.Overrides) != maxOverrides {
		t.Errorf("%d requests are kept", len(s.Overrides))
	}
}
