package consumers_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/consumers"
	"github.com/understudy-ha/understudy/watchdog/jsapi"
	"github.com/understudy-ha/understudy/watchdog/natslab"
)

// often is a time between snapshots that makes tests short.
const often = 20 * time.Millisecond

// kept is a keeper that runs.
type kept struct {
	*consumers.Keeper
	stop func() // and wait
	log  *lines
}

// lines collects a log.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// keep runs a keeper of guarded streams, whose origins are their primaries.
func keep(t *testing.T, dir string, logins map[string]string, guarded ...policy.MemberID) *kept {
	t.Helper()
	log := &lines{}
	primary := func(stream string) policy.MemberID {
		for _, id := range guarded {
			if id.Stream == stream {
				return id
			}
		}
		return policy.MemberID{}
	}
	k, err := consumers.NewKeeper(consumers.Options{Dir: dir, Primary: primary, Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	k.Configure(configOf(logins, guarded...))
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := k.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	stop := func() { cancel(); running.Wait() }
	t.Cleanup(stop)
	return &kept{Keeper: k, stop: stop, log: log}
}

func configOf(logins map[string]string, guarded ...policy.MemberID) consumers.Config {
	c := consumers.Config{Streams: map[string]policy.StreamRules{}, Logins: map[string]jsapi.Login{}}
	for site, url := range logins {
		c.Logins[site] = jsapi.Login{Servers: []string{url}}
	}
	for _, id := range guarded {
		c.Streams[id.Stream] = policy.StreamRules{Name: id.Stream, Origin: id, ConsumersEvery: often}
	}
	return c
}

// await waits for a snapshot that is as wanted.
func (k *kept) await(t *testing.T, id policy.MemberID, ok func(policy.ConsumerSnapshot) bool) policy.ConsumerSnapshot {
	t.Helper()
	var snap policy.ConsumerSnapshot
	eventually(t, func() error {
		var has bool
		if snap, has = k.Latest(id.Stream, id); !has || !ok(snap) {
			return fmt.Errorf("kept of %s: %+v, %v", id, snap, has)
		}
		return nil
	})
	return snap
}

func names(s policy.ConsumerSnapshot) string {
	var list []string
	for _, c := range s.Consumers {
		list = append(list, c.Name)
	}
	return strings.Join(list, " ")
}

func TestKeeperFollowsAndSurvives(t *testing.T) {
	server := embedded(t)
	r, dir := onServer(t, server.ClientURL(), "KEPT"), t.TempDir()
	logins := map[string]string{"east": server.ClientURL()}
	r.consumer(t, "A", `"deliver_policy":"all","ack_policy":"explicit"`)
	r.publish(t, "east", 5)
	k := keep(t, dir, logins, r.origin)
	k.await(t, r.origin, func(s policy.ConsumerSnapshot) bool { return names(s) == "A" })
	for _, g := range r.pull(t, "east", r.origin.Stream, "A", 3) {
		must(t, g.ack())
	}
	k.await(t, r.origin, func(s policy.ConsumerSnapshot) bool { return s.Consumers[0].AckFloor == 3 && s.Age < soon })
	must(t, r.conn["east"].DeleteConsumer(within(t), r.origin.Stream, "A"))
	r.consumer(t, "B", `"deliver_policy":"new","ack_policy":"explicit"`)
	k.await(t, r.origin, func(s policy.ConsumerSnapshot) bool { return names(s) == "B" && s.Consumers[0].Start == 5 })
	k.stop()

	server.Shutdown()
	again := keep(t, dir, logins, r.origin)
	s, ok := again.Latest("KEPT", r.origin)
	if !ok || names(s) != "B" || s.Stream != r.origin || s.Age <= 0 || s.Age > soon {
		t.Errorf("after a restart: %+v, %v", s, ok)
	}
	if _, ok := again.Latest("KEPT", r.mirror); ok {
		t.Error("there is a snapshot of the mirror")
	}
}

// TestKeeperTellsIncarnations recreates the stream: what an older one had must not fill up what the new one has.
func TestKeeperTellsIncarnations(t *testing.T) {
	url := embedded(t).ClientURL()
	r := onServer(t, url, "AGAIN")
	r.consumer(t, "OLD", `"deliver_policy":"all","ack_policy":"explicit"`)
	k := keep(t, t.TempDir(), map[string]string{"east": url}, r.origin)
	first := k.await(t, r.origin, func(s policy.ConsumerSnapshot) bool { return names(s) == "OLD" })
	must(t, r.conn["east"].Delete(within(t), r.origin.Stream))
	eventually(t, func() error {
		if !strings.Contains(k.log.String(), "no snapshot of the consumers") {
			return errors.New("the missing stream was not said")
		}
		return nil
	})
	if s, _ := k.Latest("AGAIN", r.origin); names(s) != "OLD" {
		t.Errorf("of a deleted stream: %+v", s)
	}
	if _, err := r.conn["east"].Create(within(t), r.origin.Stream, json.RawMessage(`{"name":"AGAIN","subjects":["s.AGAIN.>"]}`)); err != nil {
		t.Fatal(err)
	}
	k.await(t, r.origin, func(s policy.ConsumerSnapshot) bool { return names(s) == "" && !s.Created.Equal(first.Created) })
	if n := strings.Count(k.log.String(), "no snapshot"); n != 1 {
		t.Errorf("said %d times:\n%s", n, k.log)
	}
}

// TestKeeperHangingSite has one site that swallows all questions, with more streams than may be asked about at once.
func TestKeeperHangingSite(t *testing.T) {
	hanging, well := embedded(t), embedded(t)
	link, err := natslab.NewProxy("127.0.0.1:0", hanging.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { link.Close() })
	guarded := []policy.MemberID{}
	for n := range 20 {
		guarded = append(guarded, onServer(t, hanging.ClientURL(), fmt.Sprint("HANGS", n)).origin)
	}
	r := onServer(t, well.ClientURL(), "WELL")
	west := policy.MemberID{Site: "west", Stream: r.origin.Stream}
	k := keep(t, t.TempDir(), map[string]string{"east": "nats://" + link.Addr(), "west": well.ClientURL()}, append(guarded, west)...)
	for _, id := range guarded {
		k.await(t, id, func(policy.ConsumerSnapshot) bool { return true })
	}
	must(t, link.Set(natslab.BlackHole))
	for n := range 5 {
		name := fmt.Sprint("C", n)
		began := time.Now()
		r.consumer(t, name, `"deliver_policy":"all","ack_policy":"explicit"`)
		k.await(t, west, func(s policy.ConsumerSnapshot) bool { return strings.HasSuffix(names(s), name) })
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("beside the hanging site it took %s", took)
		}
	}
	began := time.Now()
	if k.stop(); time.Since(began) > 3*time.Second {
		t.Errorf("stopping took %s", time.Since(began))
	}
}

// TestKeeperDisk refuses what is not its own writing, and removes what is no more guarded.
func TestKeeperDisk(t *testing.T) {
	url, dir := embedded(t).ClientURL(), t.TempDir()
	r := onServer(t, url, "DISK")
	r.consumer(t, "A", `"deliver_policy":"all","ack_policy":"explicit"`)
	k := keep(t, dir, map[string]string{"east": url}, r.origin)
	k.await(t, r.origin, func(s policy.ConsumerSnapshot) bool { return names(s) == "A" })
	k.stop()
	file := filepath.Join(dir, "DISK.json")
	good, err := os.ReadFile(file)
	must(t, err)
	for name, data := range map[string][]byte{
		"empty": {}, "cut off": good[:len(good)-5], "a changed byte": []byte(strings.Replace(string(good), "ack_floor\":0", "ack_floor\":9", 1)),
		"newer": []byte(strings.Replace(string(good), "understudy-consumers 1", "understudy-consumers 2", 1)),
	} {
		must(t, os.WriteFile(file, data, 0o600))
		damaged := keep(t, dir, nil, r.origin)
		if s, ok := damaged.Latest("DISK", r.origin); ok || !strings.Contains(damaged.log.String(), "cannot be read") {
			t.Errorf("%s: %+v, log %s", name, s, damaged.log)
		}
		damaged.stop()
	}
	must(t, os.WriteFile(file, good, 0o600))
	last := keep(t, dir, nil, r.origin)
	if _, ok := last.Latest("DISK", r.origin); !ok {
		t.Error("the good file was not read")
	}
	last.Configure(configOf(nil))
	eventually(t, func() error {
		if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("the file of a stream that is not guarded is there: %v", err)
		}
		return nil
	})
	if _, ok := last.Latest("DISK", r.origin); ok {
		t.Error("a stream that is not guarded is kept")
	}
}
