package jsapi_test

import (
	"errors"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/understudy-ha/understudy/watchdog/jsapi"
	"github.com/understudy-ha/understudy/watchdog/natslab"
)

// proxied puts a link that can be cut before a server.
func proxied(t *testing.T, s *server.Server) (*natslab.Proxy, string) {
	t.Helper()
	p, err := natslab.NewProxy("127.0.0.1:0", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p, "nats://" + p.Addr()
}

// atOnce fails the test when a request takes as long as its deadline.
func atOnce(t *testing.T, c *jsapi.Conn, want error) {
	t.Helper()
	began := time.Now()
	_, err := c.Info(within(t, 5*time.Second), "ORDERS")
	if !errors.Is(err, want) {
		t.Errorf("Info: got %v, want %v", err, want)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("Info took %v", took)
	}
}

func TestDialReturnsBeforeItConnects(t *testing.T) {
	hole, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, and never greets
	if err != nil {
		t.Fatal(err)
	}
	defer hole.Close()
	began := time.Now()
	c := dial(t, jsapi.Login{Servers: []string{"nats://" + hole.Addr().String()}})
	if took := time.Since(began); took > 200*time.Millisecond {
		t.Errorf("Dial took %v", took)
	}
	if _, err := c.Info(within(t, time.Second), "ORDERS"); !errors.Is(err, jsapi.ErrConnecting) || errors.Is(err, jsapi.ErrDisconnected) {
		t.Errorf("before the first attempt has ended: got %v", err)
	}
	eventually(t, "the first attempt has failed", func() bool { return errors.Is(c.LastError(), jsapi.ErrDisconnected) })
	atOnce(t, c, jsapi.ErrDisconnected)
	began = time.Now()
	c.Close()
	if took := time.Since(began); took > 500*time.Millisecond {
		t.Errorf("Close during a connect took %v", took)
	}
}

func TestReconnects(t *testing.T) {
	p, url := proxied(t, embedded(t, nil))
	c := connected(t, url)
	create(t, c, "ORDERS", `{"name":"ORDERS"}`)
	for _, how := range []natslab.LinkState{natslab.Refuse, natslab.BlackHole} {
		t.Run(how.String(), func(t *testing.T) {
			epoch := c.Epoch()
			if err := p.Set(how); err != nil {
				t.Fatal(err)
			}
			if how == natslab.BlackHole {
				_, err := c.Info(within(t, 200*time.Millisecond), "ORDERS")
				if !errors.Is(err, jsapi.ErrTimeout) {
					t.Errorf("Info into a black hole: got %v", err)
				}
				if err := c.Ping(within(t, 200*time.Millisecond)); !errors.Is(err, jsapi.ErrTimeout) {
					t.Errorf("Ping into a black hole: got %v", err)
				}
			}
			eventually(t, "the loss is found", func() bool { return !c.Connected() })
			for range 5 { // also while it tries to reconnect
				atOnce(t, c, jsapi.ErrDisconnected)
			}
			if err := p.Set(natslab.Open); err != nil {
				t.Fatal(err)
			}
			eventually(t, "connected again", c.Connected)
			if c.Epoch() == epoch || c.LastError() != nil {
				t.Errorf("after the reconnect: epoch %d, error %v", c.Epoch(), c.LastError())
			}
			if _, err := c.Info(within(t, time.Second), "ORDERS"); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestNextServerTakesOver(t *testing.T) {
	a, b := embedded(t, nil), embedded(t, nil)
	c := dial(t, beginningAt(a.ClientURL(), b.ClientURL()))
	eventually(t, "connected", c.Connected)
	a.Shutdown()
	eventually(t, "connected to the other", func() bool { return c.Epoch() == 2 && c.Connected() })
}

func TestDialOnceNeverReconnects(t *testing.T) {
	p, url := proxied(t, embedded(t, nil))
	o := jsapi.Options{Login: jsapi.Login{Servers: []string{url}}}
	c, err := jsapi.DialOnce(within(t, 5*time.Second), o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := p.Set(natslab.Refuse); err != nil {
		t.Fatal(err)
	}
	select {
	case <-c.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("the loss was not told")
	}
	if err := p.Set(natslab.Open); err != nil {
		t.Fatal(err)
	}
	atOnce(t, c, jsapi.ErrDisconnected)
	if err := c.PublishEvent("late", nil); !errors.Is(err, jsapi.ErrDisconnected) {
		t.Errorf("PublishEvent after the loss: got %v", err)
	}
	if err := p.Set(natslab.BlackHole); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if _, err := jsapi.DialOnce(within(t, 300*time.Millisecond), o); !errors.Is(err, jsapi.ErrDisconnected) {
		t.Errorf("DialOnce into a black hole: got %v", err)
	}
	if took := time.Since(began); took > 700*time.Millisecond {
		t.Errorf("DialOnce took %v with a deadline of 300ms", took)
	}
}

func TestChangedHearsEachState(t *testing.T) {
	p, url := proxied(t, embedded(t, nil))
	var mu sync.Mutex
	var heard []error
	states := func() []error {
		mu.Lock()
		defer mu.Unlock()
		return append([]error(nil), heard...)
	}
	c := jsapi.Dial(jsapi.Options{
		Login: jsapi.Login{Servers: []string{url}}, ReconnectWait: 20 * time.Millisecond,
		Changed: func(err error) { mu.Lock(); defer mu.Unlock(); heard = append(heard, err) },
	})
	defer c.Close()
	eventually(t, "connected", func() bool { return len(states()) == 1 })
	if err := p.Set(natslab.Refuse); err != nil {
		t.Fatal(err)
	}
	eventually(t, "lost", func() bool { return len(states()) == 2 })
	first := c.LastError()
	eventually(t, "several attempts have failed", func() bool { return c.LastError() != first })
	if err := p.Set(natslab.Open); err != nil {
		t.Fatal(err)
	}
	eventually(t, "connected again", c.Connected)
	got := states()
	if len(got) != 3 || got[0] != nil || !errors.Is(got[1], jsapi.ErrDisconnected) || got[2] != nil {
		t.Errorf("got %v, want connected, lost, connected", got)
	}
}

// Whatever moment a request meets, it has an answer or an error.
func TestRequestsWhileTheConnectionComesAndGoes(t *testing.T) {
	p, url := proxied(t, embedded(t, nil))
	c := connected(t, url)
	create(t, c, "ORDERS", `{"name":"ORDERS"}`)
	over := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				info, err := c.Info(t.Context(), "ORDERS")
				if err == nil && info.Created.IsZero() {
					t.Error("no error, and no answer")
				}
				_ = c.Ping(t.Context())
				_ = c.PublishEvent("event", nil)
				runtime.Gosched()
			}
		})
	}
	for epoch := range uint64(8) {
		if err := p.Set(natslab.Refuse); err != nil {
			t.Fatal(err)
		}
		eventually(t, "lost", func() bool { return !c.Connected() })
		if err := p.Set(natslab.Open); err != nil {
			t.Fatal(err)
		}
		eventually(t, "connected again", func() bool { return c.Epoch() > epoch+1 && c.Connected() })
	}
	close(over)
	wg.Wait()
	c.Close()
	atOnce(t, c, jsapi.ErrDisconnected)
}
