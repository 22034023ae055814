package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/understudy-ha/understudy/watchdog/config"
)

func TestAdminSocketIn(t *testing.T) {
	const usual = "/run/understudy/admin.sock"
	for name, c := range map[string]struct {
		text, want string
		mistakes   bool
	}{
		"unknown key":   {"admni: {}\nadmin: {listen: 'unix:/x/s'}\n", "/x/s", true},
		"relative":      {"mode: careless\nadmin: {listen: 'unix:s'}\n", "s", true},
		"not given":     {"mode: careless\n", usual, true},
		"no socket":     {"admin: {listen: '127.0.0.1:1'}\n", usual, true},
		"not text":      {"admin: {listen: [1]}\n", usual, true},
		"no mapping":    {"admin: x\n", usual, true},
		"not YAML":      {"admin: {listen: 'unix:/x/s'\n\t- :", usual, true},
		"empty":         {"", usual, true},
		"good, default": {withFiles, usual, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write("c.yaml", c.text)(t, dir)
			got, err := config.AdminSocketIn(filepath.Join(dir, "c.yaml"))
			if c.want == "s" {
				c.want = filepath.Join(dir, "s")
			}
			var mistakes config.Errors
			if got != c.want || errors.As(err, &mistakes) != c.mistakes {
				t.Errorf("got %s, %v, want %s", got, err, c.want)
			}
		})
	}
	if got, err := config.AdminSocketIn(filepath.Join(t.TempDir(), "none")); got != "" || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a file: got %q, %v", got, err)
	}
}
