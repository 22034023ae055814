package watchdog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/understudy-ha/understudy/election"
	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/config"
	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

var consumersOrigin = policy.MemberID{Site: "east", Stream: "EVENTS"}

// TestNewestConsumers asks a group of three, of which one is silent, one holds an old snapshot and one the newest.
func TestNewestConsumers(t *testing.T) {
	url := originServer(t)
	conn, err := jsapi.DialOnce(t.Context(), jsapi.Options{Login: jsapi.Login{Servers: []string{url}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	if _, err := conn.Create(t.Context(), "EVENTS", json.RawMessage(`{"name":"EVENTS","subjects":["events.>"]}`)); err != nil {
		t.Fatal(err)
	}
	dogs := consumersGroup(t, url)
	asker := dogs["wd-1"]

	began := time.Now()
	if _, ok := asker.newestConsumers(t.Context(), "EVENTS", consumersOrigin, 300*time.Millisecond); ok {
		t.Error("there is a snapshot before anybody has taken one")
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it waited for the silent one for %s", took)
	}
	for _, name := range []string{"wd-1", "wd-2"} { // the one of wd-1 is as old as the first consumer
		addConsumer(t, conn, name)
		keepUntil(t, dogs[name], name)
	}
	eventuallyConsumers(t, func() error {
		snap, ok := asker.newestConsumers(t.Context(), "EVENTS", consumersOrigin, time.Second)
		if !ok || len(snap.Consumers) != 2 || snap.Age <= 0 || snap.Age > time.Minute {
			return fmt.Errorf("newest: %+v, %v", snap, ok)
		}
		return nil
	})
	if _, ok := asker.newestConsumers(t.Context(), "EVENTS", policy.MemberID{Site: "west", Stream: "EVENTS_W"}, 300*time.Millisecond); ok {
		t.Error("there is a snapshot of another member")
	}
}

func addConsumer(t *testing.T, conn *jsapi.Conn, name string) {
	t.Helper()
	raw := json.RawMessage(fmt.Sprintf(`{"durable_name":%q,"ack_policy":"explicit"}`, name))
	if _, err := conn.CreateConsumer(t.Context(), "EVENTS", name, raw, ""); err != nil {
		t.Fatal(err)
	}
}

// keepUntil runs a watchdog's keeper until it has seen a consumer.
func keepUntil(t *testing.T, s *service, name string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() {
		if err := s.keeper.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	eventuallyConsumers(t, func() error {
		snap, _ := s.keeper.Latest("EVENTS", consumersOrigin)
		for _, c := range snap.Consumers {
			if c.Name == name {
				return nil
			}
		}
		return fmt.Errorf("%s has not seen %s: %+v", s.o.Config.Node, name, snap)
	})
}

func eventuallyConsumers(t *testing.T, check func() error) {
	t.Helper()
	began := time.Now()
	for err := check(); err != nil; err = check() {
		if time.Since(began) > 30*time.Second {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func originServer(t *testing.T) string {
	t.Helper()
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(30 * time.Second) {
		t.Fatal("the server is not ready")
	}
	return srv.ClientURL()
}

// consumersGroup runs the nodes and the keepers of wd-1 and wd-2; wd-3 takes connections and says nothing.
func consumersGroup(t *testing.T, url string) map[string]*service {
	t.Helper()
	listeners, peers := map[string]net.Listener{}, map[string]config.Peer{}
	for _, name := range []string{"wd-1", "wd-2", "wd-3"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		listeners[name], peers[name] = l, config.Peer{Addr: l.Addr().String(), Site: "east"}
	}
	dogs := map[string]*service{}
	for _, name := range []string{"wd-1", "wd-2"} {
		dogs[name] = consumersDog(t, name, url, peers, listeners[name])
	}
	return dogs
}

func consumersDog(t *testing.T, name, url string, peers map[string]config.Peer, l net.Listener) *service {
	t.Helper()
	c := &config.Config{Node: name, DataDir: t.TempDir(), Peers: peers,
		Sites: map[string]config.Site{"east": {Servers: []string{url}}},
		Streams: []config.Stream{{Name: "EVENTS", Origin: config.Member{Site: "east", Stream: "EVENTS"},
			Consumers: config.Consumers{Every: 20 * time.Millisecond}}}}
	s := &service{o: Options{Config: c}, log: slog.New(slog.DiscardHandler), replica: newReplica()}
	s.setConfig(c)
	if err := s.openKeeper(); err != nil {
		t.Fatal(err)
	}
	o := election.Options{ID: name, Listener: l, DataDir: t.TempDir(), FSM: s.replica, Log: s.log}
	for id, p := range peers {
		o.Peers = append(o.Peers, election.Peer{ID: id, Addr: p.Addr})
	}
	node, err := election.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	s.node = node
	node.Handle(methodConsumers, s.serveConsumers)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		follow := func(ctx context.Context, _ election.Term) error { <-ctx.Done(); return nil }
		if err := node.Run(ctx, follow); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait(); node.Close() })
	return s
}
