package demo

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestAccounts checks where messages are found, on stores made by hand.
func TestAccounts(t *testing.T) {
	for _, c := range []struct {
		name, old, primary string
		fork               uint64
		duplicates         int
		above              string // in the old store
	}{
		{"nothing left behind", "a b c d", "a b c d e", 4, 0, ""},
		{"a tail", "a b c d", "a b x y z", 2, 0, "c d"},
		{"a tail sent again", "a b c d", "a b x d d", 4, 1, ""},
		{"a tail sent again, at its sequence", "a b c d", "a b x d+", 2, 0, "c d"},
		{"an empty mirror", "a b", "", 0, 0, "a b"},
	} {
		old, primary := storeOf(c.old), storeOf(c.primary)
		f := fork(old, primary)
		above := strings.Join(slices.Sorted(maps.Keys(old.ids(f))), " ")
		if f != c.fork || primary.duplicates() != c.duplicates || above != c.above {
			t.Errorf("%s: fork %d, %d duplicates, above %q, want %d, %d, %q", c.name, f, primary.duplicates(), above, c.fork, c.duplicates, c.above)
		}
	}
}

// storeOf makes a store of ids; one with a plus was stored later.
func storeOf(ids string) stored {
	s := stored{id: map[uint64]string{}, at: map[uint64]time.Time{}}
	for _, id := range strings.Fields(ids) {
		s.last++
		id, again := strings.CutSuffix(id, "+")
		s.id[s.last], s.at[s.last] = id, time.Unix(int64(s.last), 0)
		if again {
			s.at[s.last] = s.at[s.last].Add(time.Minute)
		}
	}
	return s
}

// TestJudge holds what makes a result OK.
func TestJudge(t *testing.T) {
	moved, stayed := Expectation{FailedOver, "healthy"}, Expectation{NoFailover, "blind"}
	for _, c := range []struct {
		name string
		r    Result
		want Expectation
		ok   bool
	}{
		{"as expected", Result{Outcome: FailedOver, Reason: "healthy", Promotions: 1}, moved, true},
		{"two promoted", Result{Outcome: FailedOver, Reason: "healthy", Promotions: 2}, moved, false},
		{"a message lost", Result{Outcome: FailedOver, Reason: "healthy", Promotions: 1, Lost: 1}, moved, false},
		{"rightly none", Result{Outcome: NoFailover, Reason: "blind"}, stayed, true},
		{"for another reason", Result{Outcome: NoFailover, Reason: "held"}, stayed, false},
		{"none, yet one promoted", Result{Outcome: NoFailover, Reason: "blind", Promotions: 1}, stayed, false},
		{"none where one was due", Result{Outcome: NoFailover, Reason: "blind"}, moved, false},
	} {
		if c.r.judge(c.want); c.r.OK != c.ok || c.r.Expected != c.want.String() {
			t.Errorf("%s: ok %v, expected %q, want %v", c.name, c.r.OK, c.r.Expected, c.ok)
		}
	}
}
