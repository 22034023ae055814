package watchdog

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/understudy-ha/understudy/watchdog/api"
)

// TestReloadReachesEvents changes the login of one site and adds another, in the middle of a term.
func TestReloadReachesEvents(t *testing.T) {
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true,
		Users: []*server.User{{Username: "old", Password: "pw"}, {Username: "new", Password: "pw"}}})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	defer func() { srv.Shutdown(); srv.WaitForShutdown() }()
	password := filepath.Join(t.TempDir(), "pw")
	if err := os.WriteFile(password, []byte("pw"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := func(more string, sites ...string) string {
		text := "node: wd\ndata_dir: data\npeers: {wd: {addr: \"127.0.0.1:7422\", site: east}}\nsites:\n"
		for i := 0; i < len(sites); i += 2 {
			text += fmt.Sprintf("  %s: {servers: [%q], user: %s, password_file: %s}\n", sites[i], srv.ClientURL(), sites[i+1], password)
		}
		return text + more
	}
	const streams = "streams: [{name: EVENTS, origin: {site: east, stream: EVENTS}, mirrors: [{site: west, stream: EVENTS_W}]}]\n"

	s, write := reloading(t)
	reload := func(sites ...string) {
		t.Helper()
		write(file(streams, sites...))
		if resp := s.reload(); resp.Outcome != api.OutcomeDone {
			t.Fatalf("reload: %+v", resp)
		}
	}
	reload("east", "old", "west", "old")
	j := &journal{s: s, teller: newTeller(s)}
	defer j.close()
	awaitUsers(t, srv, "old", "old")
	reload("east", "new", "west", "old", "eu", "new")
	awaitUsers(t, srv, "new", "new", "old")
	reload("east", "new", "west", "old")
	awaitUsers(t, srv, "new", "old")
}

// awaitUsers waits until those are connected, and nobody else.
func awaitUsers(t *testing.T, s *server.Server, want ...string) {
	t.Helper()
	var got []string
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		conns, err := s.Connz(&server.ConnzOptions{Username: true})
		if err != nil {
			t.Fatal(err)
		}
		got = nil
		for _, c := range conns.Conns {
			got = append(got, c.AuthorizedUser)
		}
		if slices.Sort(got); slices.Equal(got, want) {
			return
		}
	}
	t.Fatalf("connected are %q, want %q", got, want)
}
