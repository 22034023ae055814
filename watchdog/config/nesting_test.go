package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/understudy-ha/understudy/watchdog/config"
)

func TestNestingIsBounded(t *testing.T) {
	lines := func(n int, line func(int) string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(line(i) + "\n")
		}
		return b.String()
	}
	indent := func(i int) string { return strings.Repeat(" ", i) }
	for name, c := range map[string]struct {
		text string
		deep bool
	}{
		"brackets":            {strings.Repeat("[", 6<<20), true},
		"brackets by line":    {"a: " + strings.Repeat("[\n", 51), true},
		"braces":              {strings.Repeat("{a: ", 1<<20), true},
		"indentation":         {lines(1000, func(i int) string { return indent(i) + "a:" }), true},
		"dashes":              {strings.Repeat("- ", 3<<20), true},
		"dashes by line":      {lines(1000, func(i int) string { return indent(i) + "-" }), true},
		"one line":            {strings.Repeat("a: ", 1<<20), true},
		"question marks":      {strings.Repeat("? ", 1000), true},
		"brackets in quotes":  {lines(60, func(i int) string { return fmt.Sprintf("a%d: '[ [' # [", i) }), false},
		"brackets in comment": {lines(60, func(int) string { return "# [ it's" }), false},
		"side by side":        {lines(100, func(i int) string { return fmt.Sprintf("a%d: {b: [{c: d}]}", i) }), false},
		"quotes in words":     {lines(60, func(i int) string { return fmt.Sprintf("a%d: it's [", i) }), true},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := config.Parse([]byte(c.text), "/")
			if got := strings.Contains(fmt.Sprint(err), "levels deep"); got != c.deep {
				t.Errorf("got %.200v, want it refused for its depth: %t", err, c.deep)
			}
		})
	}
}

// What cannot be a config is not read.
func TestReadRefuses(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large.yaml")
	check(t, os.WriteFile(large, nil, 0o600))
	check(t, os.Truncate(large, 1<<40)) // sparse
	for name, c := range map[string]struct{ path, want string }{
		"a folder":   {dir, "not a regular file"},
		"a device":   {"/dev/zero", "not a regular file"},
		"a terabyte": {large, "more than"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := config.Read(c.path); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
