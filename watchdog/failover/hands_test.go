package failover

import (
	"context"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

// serve runs a server that knows the users old and new.
func serve(t *testing.T) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true,
		Users: []*server.User{{Username: "old", Password: "pw"}, {Username: "new", Password: "pw"}}})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server does not start")
	}
	return s
}

// TestReloadReachesHands changes the login of a site in the middle of a term, and then removes the site.
func TestReloadReachesHands(t *testing.T) {
	s := serve(t)
	logins := map[string]jsapi.Login{}
	use := func(user string) {
		logins = map[string]jsapi.Login{"east": {Servers: []string{s.ClientURL()}, User: user, Password: "pw"}}
	}
	h := New(Options{Logins: func() map[string]jsapi.Login { return maps.Clone(logins) }, Timeout: 5 * time.Second})
	defer h.Close()
	for name, connect := range map[string]func(context.Context, string) (*jsapi.Conn, error){"reader": h.reader, "writer": h.writer} {
		t.Run(name, func(t *testing.T) {
			get := func() *jsapi.Conn {
				t.Helper()
				c, err := connect(t.Context(), "east")
				if err != nil {
					t.Fatal(err)
				}
				return c
			}
			use("old")
			first := get()
			use("old")
			if get() != first {
				t.Error("an unchanged login was dialled again")
			}
			use("new")
			second := get()
			if second == first || !slices.Contains(users(t, s), "new") {
				t.Errorf("the changed login is not used: connected are %q", users(t, s))
			}
			if !first.Connected() {
				t.Error("what was begun with the old login is cut short")
			}
			logins = nil
			if c, err := connect(t.Context(), "east"); err == nil {
				t.Errorf("a removed site is still used: %v", c)
			}
		})
	}
}

// TestCloseEndsRetiredConnections wants a term's end to leave no connection, not of an old login either.
func TestCloseEndsRetiredConnections(t *testing.T) {
	s := serve(t)
	user := "old"
	h := New(Options{Timeout: time.Minute, Logins: func() map[string]jsapi.Login {
		return map[string]jsapi.Login{"east": {Servers: []string{s.ClientURL()}, User: user, Password: "pw"}}
	}})
	var made []*jsapi.Conn
	for _, user = range []string{"old", "new"} {
		c, err := h.writer(t.Context(), "east")
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, c)
	}
	h.Close()
	for i, c := range made {
		select {
		case <-c.Done():
		default:
			t.Errorf("connection %d outlives its term", i)
		}
	}
	if _, err := h.writer(t.Context(), "east"); err == nil {
		t.Error("hands that are closed connect")
	}
}

// users are who is connected to the server.
func users(t *testing.T, s *server.Server) []string {
	t.Helper()
	conns, err := s.Connz(&server.ConnzOptions{Username: true})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range conns.Conns {
		names = append(names, c.AuthorizedUser)
	}
	return names
}
