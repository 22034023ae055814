package consumers_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/consumers"
	"github.com/understudy-ha/understudy/watchdog/jsapi"
	"github.com/understudy-ha/understudy/watchdog/natslab"
)

func TestMain(m *testing.M) {
	natslab.RunIfChild()
	// What no shutdown of a server stops: the timer that samples its CPU time, and a mirror that waits for its origin.
	const server = "github.com/nats-io/nats-server/v2/server"
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction(server+"/pse.periodic"), goleak.IgnoreAnyFunction(server+".(*stream).setupMirrorConsumer.func3"))
}

// soon is the deadline of what takes milliseconds on an idle machine.
const soon = 30 * time.Second

// rig is an origin and its mirror, and whoever works with them.
type rig struct {
	origin, mirror policy.MemberID
	subject        string // prefix of the stream's subjects
	replicas       int
	storage        string
	conn           map[string]*jsapi.Conn // by site, as the watchdog
	nc             map[string]*nats.Conn  // and as the applications
	published      int
	external       string // API prefix of the origin as the mirror needs it
}

// embedded starts a server inside this process, JetStream on.
func embedded(t *testing.T) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(soon) {
		t.Fatal("embedded server: not ready")
	}
	return s
}

// onServer makes an origin and a mirror on one server; name tells them from those of other tests.
func onServer(t *testing.T, url, name string) *rig {
	t.Helper()
	r := rigOn(t, url, name)
	r.create(t)
	return r
}

// rigOn is the same without its streams.
func rigOn(t *testing.T, url, name string) *rig {
	t.Helper()
	conn, nc := watch(t, url), client(t, url)
	return &rig{
		origin: policy.MemberID{Site: "east", Stream: name}, mirror: policy.MemberID{Site: "west", Stream: name + "_M"},
		subject: "s." + name, replicas: 1, storage: "file",
		conn: map[string]*jsapi.Conn{"east": conn, "west": conn}, nc: map[string]*nats.Conn{"east": nc, "west": nc},
	}
}

func watch(t *testing.T, url string) *jsapi.Conn {
	t.Helper()
	conn, err := jsapi.DialOnce(within(t), jsapi.Options{Login: jsapi.Login{Servers: []string{url}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

func client(t *testing.T, url string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	t.Cleanup(cancel)
	return ctx
}

// eventually polls until check returns nil.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	began := time.Now()
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Since(began) > soon {
			t.Fatalf("after %s: %v", time.Since(began).Round(time.Millisecond), err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (r *rig) create(t *testing.T) {
	t.Helper()
	origin := fmt.Sprintf(`{"name":%q,"subjects":[%q],"storage":%q,"num_replicas":%d,"allow_direct":true}`, r.origin.Stream, r.subject+".>", r.storage, r.replicas)
	mirror := fmt.Sprintf(`{"name":%q,"mirror":{"name":%q},"storage":%q,"num_replicas":%d}`, r.mirror.Stream, r.origin.Stream, r.storage, r.replicas)
	if r.external != "" {
		mirror = fmt.Sprintf(`{"name":%q,"mirror":{"name":%q,"external":{"api":%q}},"storage":%q,"num_replicas":%d}`, r.mirror.Stream, r.origin.Stream, r.external, r.storage, r.replicas)
	}
	eventually(t, func() error {
		_, err := r.conn["east"].Create(within(t), r.origin.Stream, json.RawMessage(origin))
		return err
	})
	eventually(t, func() error {
		_, err := r.conn["west"].Create(within(t), r.mirror.Stream, json.RawMessage(mirror))
		return err
	})
}

// publish adds messages, of four subjects in turn.
func (r *rig) publish(t *testing.T, site string, n int) {
	t.Helper()
	for range n {
		subject := fmt.Sprintf("%s.%d", r.subject, r.published%4)
		eventually(t, func() error {
			_, err := r.conn[site].Publish(within(t), subject, fmt.Sprint("id-", r.published), nil, nil)
			return err
		})
		r.published++
	}
}

// settle waits until the mirror has all.
func (r *rig) settle(t *testing.T) {
	t.Helper()
	eventually(t, func() error {
		info, err := r.conn["west"].Info(within(t), r.mirror.Stream)
		if err == nil && info.State.LastSeq != uint64(r.published) {
			err = fmt.Errorf("the mirror is at %d of %d", info.State.LastSeq, r.published)
		}
		return err
	})
}

// promote parks the origin and promotes the mirror onto its parked subject, and tells where the mirror stands.
func (r *rig) promote(t *testing.T) (lastSeq uint64) {
	t.Helper()
	origin := r.config(t, "east", r.origin.Stream)
	parked, err := policy.ParkConfig(origin, r.origin, policy.Stamp{Write: "1.park.1"})
	r.update(t, "east", r.origin.Stream, parked, err)
	promoted, err := policy.PromoteConfig(r.config(t, "west", r.mirror.Stream), origin, r.mirror, policy.Stamp{Write: "1.promote.2"})
	r.update(t, "west", r.mirror.Stream, promoted, err)
	eventually(t, func() error { return r.conn["west"].Ready(within(t), policy.ParkSubject(r.mirror)) })
	info, err := r.conn["west"].Info(within(t), r.mirror.Stream)
	if err != nil {
		t.Fatal(err)
	}
	return info.State.LastSeq
}

// bind gives the promoted mirror the real subjects.
func (r *rig) bind(t *testing.T) {
	t.Helper()
	bound, err := policy.BindConfig(r.config(t, "west", r.mirror.Stream), nil, []string{r.subject + ".>"}, policy.Stamp{Write: "1.bind.3"})
	r.update(t, "west", r.mirror.Stream, bound, err)
}

func (r *rig) config(t *testing.T, site, stream string) json.RawMessage {
	t.Helper()
	info, err := r.conn[site].Info(within(t), stream)
	if err != nil {
		t.Fatal(err)
	}
	return info.Config
}

func (r *rig) update(t *testing.T, site, stream string, config json.RawMessage, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.conn[site].Update(within(t), stream, config); err != nil {
		t.Fatal(err)
	}
}

// consumer makes an application's durable at the origin. Its config lacks only the name.
func (r *rig) consumer(t *testing.T, name, config string) {
	t.Helper()
	raw := json.RawMessage(fmt.Sprintf(`{"durable_name":%q,"name":%q,%s}`, name, name, config))
	eventually(t, func() error {
		_, err := r.conn["east"].CreateConsumer(within(t), r.origin.Stream, name, raw, "")
		return err
	})
}

func (r *rig) take(t *testing.T) policy.ConsumerSnapshot {
	t.Helper()
	snap, err := consumers.Take(within(t), r.conn["east"], r.origin)
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

func (r *rig) target(t *testing.T, lastSeq uint64) consumers.Target {
	t.Helper()
	target, err := consumers.At(within(t), r.conn["west"], r.mirror.Stream, 1, lastSeq)
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func (r *rig) info(t *testing.T, site, stream, name string) *jsapi.ConsumerInfo {
	t.Helper()
	info, err := r.conn[site].ConsumerInfo(within(t), stream, name)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// pull fetches n messages of a consumer, and acknowledges none.
func (r *rig) pull(t *testing.T, site, stream, name string, n int) []*got {
	t.Helper()
	js, err := jetstream.New(r.nc[site])
	if err != nil {
		t.Fatal(err)
	}
	c, err := js.Consumer(within(t), stream, name)
	if err != nil {
		t.Fatal(err)
	}
	var all []*got
	for len(all) < n {
		batch, err := c.Fetch(n-len(all), jetstream.FetchMaxWait(soon))
		if err != nil {
			t.Fatal(err)
		}
		before := len(all)
		for m := range batch.Messages() {
			meta, err := m.Metadata()
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, &got{seq: meta.Sequence.Stream, ack: func() error { return m.DoubleAck(within(t)) }})
		}
		if len(all) == before {
			t.Fatalf("consumer %s: %d of %d messages, %v", name, before, n, batch.Error())
		}
	}
	return all
}

// got is one delivery.
type got struct {
	seq uint64
	ack func() error
}
