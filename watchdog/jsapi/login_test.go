package jsapi_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/understudy-ha/understudy/watchdog/jsapi"
	"github.com/understudy-ha/understudy/watchdog/natslab"
)

// withPassword makes the options of a server with one user, for a start or a reload.
func withPassword(password string) func(*server.Options) {
	return func(o *server.Options) { o.Users = []*server.User{{Username: "app", Password: password}} }
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestChangedPasswordIsNotAnOutage(t *testing.T) {
	var opts *server.Options
	s := embedded(t, func(o *server.Options) { withPassword("one")(o); opts = o })
	file := filepath.Join(t.TempDir(), "password")
	write(t, file, "one\n")
	c := dial(t, jsapi.Login{Servers: []string{s.ClientURL()}, User: "app", PasswordFile: file})
	eventually(t, "connected", c.Connected)

	changed := opts.Clone()
	withPassword("two")(changed)
	if err := s.ReloadOptions(changed); err != nil {
		t.Fatal(err)
	}
	eventually(t, "login refused", func() bool { return errors.Is(c.LastError(), jsapi.ErrAuth) })
	atOnce(t, c, jsapi.ErrAuth)
	if errors.Is(c.LastError(), jsapi.ErrDisconnected) {
		t.Errorf("a refused login looks like a lost site: %v", c.LastError())
	}
	// nats.go gives up after two refusals of the same kind; this must not.
	for range 3 {
		last := c.LastError()
		eventually(t, "another attempt", func() bool { return c.LastError() != last })
	}
	write(t, file, "two")
	eventually(t, "connected with the new password", c.Connected)
	s.Shutdown()
	eventually(t, "lost", func() bool { return errors.Is(c.LastError(), jsapi.ErrDisconnected) })
}

// Whatever moment of it a request meets, a changed password is never the loss of the site.
func TestManyPasswordChanges(t *testing.T) {
	lab, err := natslab.Start(within(t, time.Minute), natslab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lab.Close() })
	site, file := lab.Site("east"), filepath.Join(t.TempDir(), "password")
	write(t, file, site.Password())
	login := jsapi.Login{Servers: site.URLs(), Domain: site.Domain, User: natslab.AppUser, PasswordFile: file}
	c := jsapi.Dial(jsapi.Options{Login: login, ReconnectWait: 5 * time.Millisecond})
	t.Cleanup(c.Close)
	eventually(t, "connected", c.Connected)
	create(t, c, "ORDERS", `{"name":"ORDERS"}`)
	over, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for range 8 {
		wg.Go(func() {
			for over.Err() == nil {
				_, info := c.Info(over, "ORDERS")
				for _, err := range []error{info, c.Ping(over)} {
					if errors.Is(err, jsapi.ErrDisconnected) {
						t.Errorf("looks like a lost site: %v", err)
						return
					}
				}
			}
		})
	}
	for i := range 30 {
		password := fmt.Sprint("password ", i)
		if err := site.SetPassword(within(t, 30*time.Second), password); err != nil {
			t.Fatal(err)
		}
		eventually(t, "login refused", func() bool { return errors.Is(c.LastError(), jsapi.ErrAuth) })
		write(t, file, password)
		eventually(t, "connected with the new password", c.Connected)
	}
}

func TestBadLoginsAreOurFault(t *testing.T) {
	s := embedded(t, withPassword("one"))
	garbage := filepath.Join(t.TempDir(), "garbage")
	write(t, garbage, "not a key")
	for name, l := range map[string]jsapi.Login{
		"wrong password":       {User: "app", Password: "two"},
		"no login":             {},
		"missing password":     {User: "app", PasswordFile: "/nonexistent"},
		"missing credentials":  {Creds: "/nonexistent"},
		"unreadable nkey":      {NKey: garbage},
		"unreadable ca":        {TLSCA: garbage},
		"tls where none is":    {User: "app", Password: "one", TLSCA: testCA(t)},
		"no server configured": {Servers: []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			if l.Servers == nil {
				l.Servers = []string{s.ClientURL()}
			}
			_, err := jsapi.DialOnce(within(t, 5*time.Second), jsapi.Options{Login: l})
			if !errors.Is(err, jsapi.ErrAuth) || errors.Is(err, jsapi.ErrDisconnected) {
				t.Errorf("got %v, want ErrAuth", err)
			}
		})
	}
}

func TestARefusedLoginOutweighsAnUnreachableServer(t *testing.T) {
	s := embedded(t, withPassword("one"))
	for _, servers := range [][]string{
		{"nats://127.0.0.1:1", s.ClientURL()}, {s.ClientURL(), "nats://127.0.0.1:1"},
	} {
		_, err := jsapi.DialOnce(within(t, 5*time.Second), jsapi.Options{Login: jsapi.Login{Servers: servers}})
		if !errors.Is(err, jsapi.ErrAuth) {
			t.Errorf("%v: got %v, want ErrAuth: one of them lives", servers, err)
		}
	}
}

func TestFullServerIsOverloaded(t *testing.T) {
	s := embedded(t, func(o *server.Options) { o.MaxConn = 1 })
	connected(t, s.ClientURL())
	_, err := jsapi.DialOnce(within(t, 5*time.Second), jsapi.Options{Login: jsapi.Login{Servers: []string{s.ClientURL()}}})
	if !errors.Is(err, jsapi.ErrOverloaded) || errors.Is(err, jsapi.ErrDisconnected) {
		t.Errorf("got %v, want ErrOverloaded", err)
	}
}

func TestPasswordsStayOutOfErrors(t *testing.T) {
	for _, url := range []string{"nats://app:secret@127.0.0.1:1", "app:secret@127.0.0.1:1"} {
		_, err := jsapi.DialOnce(within(t, 5*time.Second), jsapi.Options{Login: jsapi.Login{Servers: []string{url}}})
		if err == nil || containsSecret(err.Error()) {
			t.Errorf("%s: got %v", url, err)
		}
	}
}
