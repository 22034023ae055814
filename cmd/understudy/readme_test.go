package main

import (
	"os"
	"strings"
	"testing"

	"github.com/understudy-ha/understudy/watchdog/config"
)

// TestReadmeConfig keeps the README's config one that works.
func TestReadmeConfig(t *testing.T) {
	b, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(b), "```yaml\n")
	block, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatal("README.md has no YAML block")
	}
	if _, err := config.Parse([]byte(block), t.TempDir()); err != nil {
		t.Errorf("the README's config: %v", err)
	}
}
