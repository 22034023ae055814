package jsapi_test

import (
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

// beginningAt makes a login that tries the first of some servers first.
func beginningAt(servers ...string) jsapi.Login {
	l := jsapi.Login{Servers: servers}
	for i := 0; l.FirstServer() != servers[0]; i++ {
		l.Name = fmt.Sprint(i)
	}
	return l
}

func TestNamesBeginAtDifferentServers(t *testing.T) {
	begin := map[string]int{}
	for i := range 300 {
		l := jsapi.Login{Name: fmt.Sprintf("understudy wd-%d", i), Servers: []string{"a", "b", "c"}}
		begin[l.FirstServer()]++
	}
	for _, s := range []string{"a", "b", "c"} {
		if begin[s] < 50 {
			t.Errorf("%d of 300 names begin at %s", begin[s], s)
		}
	}
	if s := (jsapi.Login{}).FirstServer(); s != "" {
		t.Errorf("no server: got %q", s)
	}
}

// silent starts a server that lives, but swallows what its API is asked.
func silent(t *testing.T) *server.Server {
	t.Helper()
	s := embedded(t, func(o *server.Options) { o.JetStream = false })
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if _, err := nc.SubscribeSync("$JS.API.>"); err != nil {
		t.Fatal(err)
	}
	if err := nc.FlushWithContext(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestMoveLeavesASilentServer(t *testing.T) {
	sick, well := silent(t), embedded(t, nil)
	create(t, connected(t, well.ClientURL()), "ORDERS", `{"name":"ORDERS"}`)
	var heard atomic.Int64
	login := beginningAt(sick.ClientURL(), well.ClientURL())
	c := jsapi.Dial(jsapi.Options{Login: login, Changed: func(error) { heard.Add(1) }})
	t.Cleanup(c.Close)
	eventually(t, "connected", c.Connected)
	under, second := make(chan error, 1), within(t, time.Second)
	go func() {
		_, err := c.Info(second, "ORDERS")
		under <- err
	}()
	if _, err := c.Info(within(t, 200*time.Millisecond), "ORDERS"); !errors.Is(err, jsapi.ErrTimeout) {
		t.Fatalf("the silent server: got %v", err)
	}
	if c.Move(7); c.Epoch() != 1 {
		t.Errorf("moved for the sake of another connection")
	}
	eventually(t, "moved", func() bool { c.Move(1); return c.Epoch() == 2 })
	if _, err := c.Info(within(t, 5*time.Second), "ORDERS"); err != nil {
		t.Errorf("the other server: %v", err)
	}
	if err := <-under; !errors.Is(err, jsapi.ErrTimeout) {
		t.Errorf("under way before the move: got %v, want its own silence", err)
	}
	eventually(t, "the silent server is left", func() bool { return sick.NumClients() == 1 })
	if heard.Load() != 1 || c.LastError() != nil {
		t.Errorf("a move is no change: heard %d, last error %v", heard.Load(), c.LastError())
	}
}

func TestMoveStaysWhenNoOtherTakesUs(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	var tried atomic.Int64
	go func() {
		for {
			conn, err := busy.Accept()
			if err != nil {
				return
			}
			tried.Add(1)
			conn.Close()
		}
	}()
	s := embedded(t, nil)
	c := dial(t, beginningAt(s.ClientURL(), "nats://"+busy.Addr().String()))
	eventually(t, "connected", c.Connected)
	eventually(t, "several moves were tried", func() bool { c.Move(1); return tried.Load() > 3 })
	if c.Epoch() != 1 || !c.Connected() {
		t.Errorf("epoch %d, connected %v", c.Epoch(), c.Connected())
	}
	if _, _, err := c.API(within(t, 5*time.Second)); err != nil {
		t.Error(err)
	}
	if connected(t, s.ClientURL()).Move(1) {
		t.Error("there is no other server to move to")
	}
}

// A writer has one attempt: a first server that takes connections and never greets must leave time for the others.
func TestDialOnceHasTimeForTheNextServer(t *testing.T) {
	hole, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hole.Close()
	login := beginningAt("nats://"+hole.Addr().String(), embedded(t, nil).ClientURL())
	c, err := jsapi.DialOnce(within(t, time.Second), jsapi.Options{Login: login})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.Move(c.Epoch()) {
		t.Error("a connection that writes never moves")
	}
}
