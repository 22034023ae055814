package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/config"
)

// TestLongestSocket listens on the longest paths that the config takes, with a short and with a long name.
func TestLongestSocket(t *testing.T) {
	c, err := config.Parse([]byte(withFiles), "/")
	check(t, err)
	for _, name := range []string{"s", "admin.sock"} {
		longest := ""
		for n := 1; n < 100; n++ {
			path := filepath.Join("/tmp", strings.Repeat("d", n), name)
			if c.Admin.Listen = "unix:" + path; c.Validate() == nil {
				longest = path
			}
		}
		if len(longest) < 90 {
			t.Fatalf("the longest path to %s is %q", name, longest)
		}
		check(t, os.MkdirAll(filepath.Dir(longest), 0o700))
		t.Cleanup(func() { os.RemoveAll(filepath.Dir(longest)) })
		ln, err := api.ListenAdmin(longest)
		if err != nil {
			t.Fatalf("the config takes a path of %d bytes: %v", len(longest), err)
		}
		ln.Close()
	}
}
