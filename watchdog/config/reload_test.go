package config_test

import (
	"errors"
	"testing"

	"github.com/understudy-ha/understudy/watchdog/config"
)

// TestCheckReload changes one key after the other of a running watchdog.
func TestCheckReload(t *testing.T) {
	tests := []struct {
		path  string
		value any
		field string // the refused field; "" for a change that is taken over
	}{
		{"node", "wd-west", "node"},
		{"data_dir", "/elsewhere", "data_dir"},
		{"bind", "10.0.0.1:7422", "bind"},
		{"tls.cert", "other.crt", "tls"},
		{"http.listen", "127.0.0.1:1", "http.listen"},
		{"admin.listen", "unix:/other.sock", "admin.listen"},
		{"raft.lease", "400ms", "raft"},
		{"log.format", "text", "log.format"},
		{"peers.wd-eu.addr", "10.0.0.1:7422", "peers.wd-eu"},
		{"peers.wd-eu.site", "west", "peers.wd-eu"},
		{"log.level", "warn", ""},
		{"mode", "unattended", ""},
		{"sites.east.creds", "other.creds", ""},
		{"streams[0].outage.after", "31s", ""},
	}
	running := parseTree(t, fullTree(t))
	for _, test := range tests {
		t.Run(test.path, func(t *testing.T) {
			tree := fullTree(t)
			set(t, tree, test.path, test.value)
			var problems config.Errors
			err := running.CheckReload(parseTree(t, tree))
			switch {
			case test.field == "" && err != nil:
				t.Errorf("got %v, want no error", err)
			case test.field == "":
			case !errors.As(err, &problems) || problems[0].Field != test.field || problems[0].Line == 0:
				t.Errorf("got %v, want a problem of %s", err, test.field)
			}
		})
	}
}

func TestCheckReloadOfPeers(t *testing.T) {
	one, three := fullTree(t), parseTree(t, fullTree(t))
	peers := one["peers"].(map[string]any)
	delete(peers, "wd-west")
	delete(peers, "wd-eu")
	single := parseTree(t, one)

	for name, test := range map[string]struct {
		from, to *config.Config
		problems int
	}{
		"same":    {three, parseTree(t, fullTree(t)), 0},
		"added":   {single, three, 2},
		"removed": {three, single, 2},
	} {
		t.Run(name, func(t *testing.T) {
			var problems config.Errors
			errors.As(test.from.CheckReload(test.to), &problems)
			if len(problems) != test.problems {
				t.Errorf("got %d problems, want %d: %v", len(problems), test.problems, problems)
			}
		})
	}
}
