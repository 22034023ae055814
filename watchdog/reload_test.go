package watchdog

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/understudy-ha/understudy/policy"
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
	s.metrics = newMetrics(prometheus.NewRegistry(), s)
	s.setConfig(c)
	if err := s.openKeeper(); err != nil {
		t.Fatal(err)
	}
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

// TestReloadKeepsWatched gives configs that lose sight of a member. State: epoch, the primary and what is known of the
// members; the file watches east/EVENTS as the origin and west/EVENTS_W as its mirror.
func TestReloadKeepsWatched(t *testing.T) {
	east, west, eu := policy.MemberID{Site: "east", Stream: "EVENTS"}, policy.MemberID{Site: "west", Stream: "EVENTS_W"}, policy.MemberID{Site: "eu", Stream: "EVENTS_EU"}
	state := func(epoch uint64, primary policy.MemberID, members ...policy.MemberState) policy.StreamState {
		st := policy.StreamState{Name: "EVENTS", Epoch: epoch, Primary: primary, Members: map[string]policy.MemberState{}}
		for _, m := range members {
			st.Members[m.ID.String()] = m
		}
		return st
	}
	running := state(1, east, policy.MemberState{ID: east}, policy.MemberState{ID: eu})
	running.Attempt = &policy.Attempt{Epoch: 1, From: east, Target: eu}
	other := strings.NewReplacer("EVENTS", "OTHER")
	for name, test := range map[string]struct {
		st   policy.StreamState
		file string
		want []string // the ends of the problems
	}{
		"all kept":            {state(1, west, policy.MemberState{ID: west, Promoted: 1}, policy.MemberState{ID: east, Retired: 1}), oneStream, nil},
		"mirror never used":   {state(0, east, policy.MemberState{ID: east}, policy.MemberState{ID: eu}), oneStream, nil},
		"stream never failed": {state(0, east, policy.MemberState{ID: east}), other.Replace(oneStream), nil},
		"origin changed": {state(0, eu, policy.MemberState{ID: eu}), oneStream, []string{
			":8:5: streams[0]: eu/EVENTS_EU is the origin of EVENTS and must stay watched; keep it as the origin of EVENTS, or guard the other stream under another name"}},
		"former primary": {state(1, west, policy.MemberState{ID: west, Promoted: 1}, policy.MemberState{ID: eu, Retired: 1}), oneStream, []string{
			":8:5: streams[0]: eu/EVENTS_EU was the primary until failover 1 and must stay watched; keep it among the mirrors of EVENTS"}},
		"primary": {state(1, eu, policy.MemberState{ID: eu, Promoted: 1}, policy.MemberState{ID: east, Retired: 1}), oneStream, []string{
			":8:5: streams[0]: eu/EVENTS_EU is the primary since failover 1 and must stay watched; keep it among the mirrors of EVENTS"}},
		"once promoted": {state(2, west, policy.MemberState{ID: west, Promoted: 2}, policy.MemberState{ID: eu, Promoted: 1}), oneStream, []string{
			":8:5: streams[0]: eu/EVENTS_EU was to be promoted by failover 1 and must stay watched; keep it among the mirrors of EVENTS"}},
		"running": {running, oneStream, []string{
			":8:5: streams[0]: eu/EVENTS_EU belongs to failover 1, which is running, and must stay watched; keep it among the mirrors of EVENTS"}},
		"stream of a failover": {state(1, west, policy.MemberState{ID: west, Promoted: 1}, policy.MemberState{ID: east, Retired: 1}), other.Replace(oneStream), []string{
			":8:3: streams: east/EVENTS was the primary until failover 1 and must stay watched; keep it among the mirrors of EVENTS",
			":8:3: streams: west/EVENTS_W is the primary since failover 1 and must stay watched; keep it among the mirrors of EVENTS"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, write := reloading(t)
			s.replica.state.Streams["EVENTS"] = test.st
			write(test.file)
			resp := s.reload()
			if len(resp.Problems) != len(test.want) || (resp.Outcome == api.OutcomeDone) != (len(test.want) == 0) {
				t.Fatalf("got %+v, want %d problems", resp, len(test.want))
			}
			for i, p := range resp.Problems {
				if p != s.o.ConfigFile+test.want[i] {
					t.Errorf("got %q, want it to end with %q", p, test.want[i])
				}
			}
		})
	}
}
