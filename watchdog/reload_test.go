package watchdog

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/config"
	"github.com/understudy-ha/understudy/watchdog/probe"
)

const oneStream = `node: wd
data_dir: data
peers: {wd: {addr: "127.0.0.1:7422", site: east}}
sites:
  east: {servers: ["nats://127.0.0.1:1"]}
  west: {servers: ["nats://127.0.0.1:2"]}
streams:
  - name: EVENTS
    origin: {site: east, stream: EVENTS}
    mirrors: [{site: west, stream: EVENTS_W}]
`

// reloading is a service without a node that has read oneStream from a file, and a way to change the file.
func reloading(t *testing.T) (s *service, write func(string)) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "u.yaml")
	write = func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(oneStream)
	c, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	s = &service{o: Options{Config: c, ConfigFile: file}, log: slog.New(slog.DiscardHandler), replica: newReplica(),
		probe: probe.New(probe.Options{Node: "wd", Site: "east"})}
	s.setConfig(c)
	return s, write
}

// TestRefusedReload wants each problem told with its place, and the watchdog unready until the file is good again.
func TestRefusedReload(t *testing.T) {
	s, write := reloading(t)
	write(strings.Replace(oneStream, "data_dir: data", "data_dir: data\nmode: sometimes\noutage: {afer: 5s}", 1))
	resp := s.reload()
	if resp.Outcome != api.OutcomeFailed || resp.Reason.Code != "" || len(resp.Problems) != 2 {
		t.Fatalf("got %+v, want failed without a code, and two problems", resp)
	}
	for i, place := range []string{":3:", ":4:"} {
		if !strings.HasPrefix(resp.Problems[i], s.o.ConfigFile+place) {
			t.Errorf("problem %q, want it at %s", resp.Problems[i], place)
		}
	}
	if !strings.Contains(s.refused, resp.Problems[0]) || !strings.Contains(s.refused, "1 more") {
		t.Errorf("refused for %q", s.refused)
	}
	if err := os.Remove(s.o.ConfigFile); err != nil {
		t.Fatal(err)
	}
	if resp := s.reload(); len(resp.Problems) != 1 || !strings.Contains(s.refused, s.o.ConfigFile) {
		t.Errorf("without a file: %+v, refused for %q", resp, s.refused)
	}
	write(oneStream)
	if resp := s.reload(); resp.Outcome != api.OutcomeDone || s.refused != "" {
		t.Errorf("a good file: %+v, refused for %q", resp, s.refused)
	}
}

// TestReloadWithoutFile is no fault of a file: the watchdog stays ready.
func TestReloadWithoutFile(t *testing.T) {
	s, _ := reloading(t)
	s.o.ConfigFile = ""
	if resp := s.reload(); resp.Outcome != api.OutcomeFailed || len(resp.Problems) != 0 || s.refused != "" {
		t.Errorf("got %+v, refused for %q", resp, s.refused)
	}
}
