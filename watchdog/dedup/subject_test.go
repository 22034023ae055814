package dedup

import "testing"

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		pattern, subject string
		want             bool
	}{
		{"", "a.b", true},
		{">", "a.b", true},
		{"a.>", "a.b.c", true},
		{"a.>", "a", false},
		{"a.*", "a.b", true},
		{"a.*", "a.b.c", false},
		{"*.b", "a.b", true},
		{"a.b", "a.b", true},
		{"a.b", "a", false},
		{"a", "a.b", false},
		{"a.b", "a.c", false},
	} {
		if got := matches(c.pattern, c.subject); got != c.want {
			t.Errorf("%q of %q: got %v, want %v", c.subject, c.pattern, got, c.want)
		}
	}
}
