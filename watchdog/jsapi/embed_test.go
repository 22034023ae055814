package jsapi_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/goleak"

	"github.com/understudy-ha/understudy/watchdog/jsapi"
	"github.com/understudy-ha/understudy/watchdog/natslab"
)

func TestMain(m *testing.M) {
	natslab.RunIfChild()
	goleak.VerifyTestMain(m)
}

// embedded starts a server inside this process, JetStream on, with what conf adds.
func embedded(t *testing.T, conf func(*server.Options)) *server.Server {
	t.Helper()
	o := &server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true}
	if conf != nil {
		conf(o)
	}
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("embedded server: not ready")
	}
	return s
}

func dial(t *testing.T, l jsapi.Login) *jsapi.Conn {
	t.Helper()
	c := jsapi.Dial(jsapi.Options{Login: l, ReconnectWait: 50 * time.Millisecond})
	t.Cleanup(c.Close)
	return c
}

func connected(t *testing.T, url string) *jsapi.Conn {
	t.Helper()
	c := dial(t, jsapi.Login{Servers: []string{url}})
	eventually(t, "connected", c.Connected)
	return c
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func create(t *testing.T, c *jsapi.Conn, name, config string) *jsapi.Info {
	t.Helper()
	info, err := c.Create(within(t, 10*time.Second), name, json.RawMessage(config))
	if err != nil {
		t.Fatal(err)
	}
	return info
}
