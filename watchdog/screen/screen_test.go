package screen

import (
	"slices"
	"strings"
	"testing"
)

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
	}{
		{"", []string{""}},
		{"ten  chars", []string{"ten  chars"}},
		{"one two  three four", []string{"one two", "three four"}},
		{"a `command-that-is-long` b", []string{"a", "`command-that-is-long`", "b"}},
		{"äöü äöü äöü äöü", []string{"äöü äöü", "äöü äöü"}},
		{"oneword-too-long", []string{"oneword-too-long"}},
	} {
		if got := Wrap(c.text, 10); !slices.Equal(got, c.want) {
			t.Errorf("%q: got %q, want %q", c.text, strings.Join(got, "|"), strings.Join(c.want, "|"))
		}
	}
}

func TestClean(t *testing.T) {
	if got, want := Clean("a\nb\tc\x1b[2Jd\u202ee"), "a b c [2Jd e"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestPaint(t *testing.T) {
	if got := Paint(false).Bad("x") + Paint(true).Bad("") + Paint(true).Good("ok"); got != "x\x1b[32mok\x1b[0m" {
		t.Errorf("got %q", got)
	}
	if IsTerminal(&strings.Builder{}) || bool(PaintFor(&strings.Builder{})) {
		t.Error("a builder is no terminal")
	}
}
