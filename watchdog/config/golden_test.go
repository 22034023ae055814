package config_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/understudy-ha/understudy/watchdog/config"
)

var update = flag.Bool("update", false, "rewrite the expected texts in testdata")

// TestBad compares the errors of each config in testdata/bad with the text beside it.
func TestBad(t *testing.T) {
	for _, file := range glob(t, "testdata/bad/*.yaml") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			_, err := config.Load(file)
			var problems config.Errors
			if !errors.As(err, &problems) {
				t.Fatalf("got %v, want Errors", err)
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".txt", err.Error()+"\n")
			if strings.Contains(strings.ToLower(err.Error()), "hunter2") {
				t.Error("the message shows a secret")
			}
			for _, p := range problems {
				if p.Line == 0 || p.Column == 0 || p.File != file || p.Remedy == "" {
					t.Errorf("no place or no remedy: %+v", p)
				}
			}
		})
	}
}

// TestGood compares the effective config of each config in testdata/good with the text beside it, and reads that back.
func TestGood(t *testing.T) {
	for _, file := range glob(t, "testdata/good/*.yaml") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			c := parseFile(t, file)
			golden(t, strings.TrimSuffix(file, ".yaml")+".shown", show(t, c))
			golden(t, strings.TrimSuffix(file, ".yaml")+".json", showJSON(t, c))

			again, err := config.Parse([]byte(show(t, c)), "/elsewhere")
			if err != nil {
				t.Fatalf("what Show wrote is refused: %v", err)
			}
			if got, want := again.Rules().Hash(), c.Rules().Hash(); got != want {
				t.Errorf("hash of what Show wrote: got %s, want %s", got, want)
			}
			if got, want := show(t, again), show(t, c); got != want {
				t.Errorf("shown again: got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// TestWarnings compares the warnings of each config in testdata/warn with the text beside it.
func TestWarnings(t *testing.T) {
	for _, file := range glob(t, "testdata/warn/*.yaml") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			var text strings.Builder
			for _, w := range parseFile(t, file).Warnings() {
				text.WriteString(w.Error() + "\n")
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".txt", text.String())
		})
	}
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no files %s: %v", pattern, err)
	}
	return files
}

// golden compares got with a file, or writes it.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("differs from %s (rewrite it with -update)\ngot:\n%s\nwant:\n%s", file, got, want)
	}
}

// parseFile parses a config as if it stood in /etc/understudy.
func parseFile(t *testing.T, file string) *config.Config {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse(data, "/etc/understudy")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func show(t *testing.T, c *config.Config) string {
	t.Helper()
	var b strings.Builder
	if err := c.Show(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func showJSON(t *testing.T, c *config.Config) string {
	t.Helper()
	var b strings.Builder
	if err := c.ShowJSON(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
