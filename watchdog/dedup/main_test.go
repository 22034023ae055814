package dedup_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/dedup"
	"github.com/understudy-ha/understudy/watchdog/jsapi"
	"github.com/understudy-ha/understudy/watchdog/natslab"
)

func TestMain(m *testing.M) {
	natslab.RunIfChild()
	goleak.VerifyTestMain(m)
}

// timeout bounds every wait of a test; none comes near it unless it fails.
const timeout = 30 * time.Second

// settings are keys of a stream's config, in the server's words.
type settings map[string]any

func (s settings) with(more settings) settings {
	all := settings{}
	for _, from := range []settings{s, more} {
		for k, v := range from {
			all[k] = v
		}
	}
	return all
}

func (s settings) raw(t testing.TB) json.RawMessage {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// place is where the streams of a test live.
type place struct {
	conn     *jsapi.Conn
	js       jetstream.JetStream
	replicas int
	server   *server.Server // nil at a lab's site
}

// limitStore sets how many bytes all streams may take.
func (p *place) limitStore(t testing.TB, bytes uint64) {
	t.Helper()
	limits := map[string]server.JetStreamAccountLimits{"": {MaxMemory: -1, MaxStore: int64(bytes), MaxStreams: -1, MaxConsumers: -1, MaxAckPending: -1}}
	if err := p.server.GlobalAccount().UpdateJetStreamLimits(limits); err != nil {
		t.Fatal(err)
	}
}

// single runs a server of its own.
func single(t testing.TB) *place {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true,
		StoreDir: t.TempDir(), NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(timeout) {
		t.Fatal("the server does not start")
	}
	p := connect(t, jsapi.Login{Servers: []string{s.ClientURL()}}, 1)
	p.server = s
	return p
}

// replicated is a site of three servers with a domain of its own.
func replicated(t testing.TB) *place {
	t.Helper()
	_, p := replicatedAt(t)
	return p
}

// replicatedAt is the site west of a lab.
func replicatedAt(t testing.TB) (*natslab.Lab, *place) {
	t.Helper()
	l, err := natslab.Start(within(t), natslab.Options{Topology: natslab.Domains, Servers: 3})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l, connect(t, loginTo(l.Site("west"), l.Site("west").URLs()...), 3)
}

func loginTo(s *natslab.Site, servers ...string) jsapi.Login {
	return jsapi.Login{Servers: servers, User: s.User(), Password: s.Password(), Domain: s.Domain}
}

func connect(t testing.TB, l jsapi.Login, replicas int) *place {
	t.Helper()
	c, err := jsapi.DialOnce(within(t), jsapi.Options{Login: l})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	nc, err := c.Client()
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if l.Domain != "" {
		js, err = jetstream.NewWithDomain(nc, l.Domain)
	}
	if err != nil {
		t.Fatal(err)
	}
	return &place{conn: c, js: js, replicas: replicas}
}

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	t.Cleanup(cancel)
	return ctx
}

// mirrored is an origin with a mirror that holds all of it.
type mirrored struct {
	*place
	t      testing.TB
	member policy.MemberID
	origin settings
}

// mirror makes an origin NAME, fills it, and makes NAME_W mirror it.
func (p *place) mirror(t testing.TB, name string, origin, mirror settings, fill func(m *mirrored)) *mirrored {
	t.Helper()
	base := settings{"num_replicas": p.replicas, "storage": "file", "retention": "limits"}
	m := &mirrored{place: p, t: t, member: policy.MemberID{Site: "west", Stream: name + "_W"},
		origin: base.with(settings{"name": name, "subjects": []string{name + ".>"}}).with(origin)}
	m.must(p.conn.Create(within(t), name, m.origin.raw(t)))
	eventually(t, "a leader of the origin", func() bool { return p.takes(name + ".ready") })
	fill(m)
	of := base.with(settings{"name": m.member.Stream, "mirror": settings{"name": name}}).with(mirror)
	m.must(p.conn.Create(within(t), m.member.Stream, of.raw(t)))
	eventually(t, "a mirror that holds all", func() bool {
		from, err := p.conn.Info(within(t), name)
		if err != nil {
			return false
		}
		to, err := p.conn.Info(within(t), m.member.Stream)
		return err == nil && to.State.LastSeq == from.State.LastSeq
	})
	return m
}

// takes says whether a leader takes publishes on a subject; a question that is lost in an election is not waited for.
func (p *place) takes(subject string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	return p.conn.Ready(ctx, subject) == nil
}

func (m *mirrored) must(info *jsapi.Info, err error) *jsapi.Info {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
	return info
}

// publish stores messages with the ids prefix0, prefix1 … on the origin's subjects.
func (m *mirrored) publish(prefix string, n int) {
	m.t.Helper()
	for i := range n {
		id := fmt.Sprintf("%s%d", prefix, i)
		if _, err := m.conn.Publish(within(m.t), m.subject(i), id, nil, []byte("payload of "+id)); err != nil {
			m.t.Fatal(err)
		}
	}
}

// publishPlain stores messages without an id.
func (m *mirrored) publishPlain(n int) {
	m.t.Helper()
	for i := range n {
		if _, err := m.conn.Publish(within(m.t), m.subject(i), "", nil, []byte("no id")); err != nil {
			m.t.Fatal(err)
		}
	}
}

func (m *mirrored) subject(i int) string { return fmt.Sprintf("%s.%d", m.origin["name"], i%7) }

// promote deletes the origin, and promotes the mirror onto its parked subject with the origin's settings and more.
func (m *mirrored) promote(more settings) (reply *jsapi.Info) {
	m.t.Helper()
	if err := m.conn.Delete(within(m.t), m.origin["name"].(string)); err != nil {
		m.t.Fatal(err)
	}
	info := m.must(m.conn.Info(within(m.t), m.member.Stream))
	raw, err := policy.PromoteConfig(info.Config, m.origin.raw(m.t), m.member, policy.Stamp{Write: "1.promote.1"})
	if err != nil {
		m.t.Fatal(err)
	}
	return m.update(raw, more)
}

// update sends a config with further settings.
func (m *mirrored) update(raw json.RawMessage, more settings) (reply *jsapi.Info) {
	m.t.Helper()
	all := settings{}
	if err := json.Unmarshal(raw, &all); err != nil {
		m.t.Fatal(err)
	}
	return m.must(m.conn.Update(within(m.t), m.member.Stream, all.with(more).raw(m.t)))
}

// bind gives the promoted stream the origin's subjects.
func (m *mirrored) bind() {
	m.t.Helper()
	info := m.must(m.conn.Info(within(m.t), m.member.Stream))
	raw, err := policy.BindConfig(info.Config, nil, m.origin["subjects"].([]string), policy.Stamp{Write: "1.bind.1"})
	if err != nil {
		m.t.Fatal(err)
	}
	m.update(raw, nil)
	eventually(m.t, "a leader that is bound", func() bool { return m.takes(m.subject(0)) })
}

// seed runs Seed with room for many ids, unless the job says otherwise.
func (m *mirrored) seed(job dedup.Job) dedup.Account {
	m.t.Helper()
	if job.MaxIDs == 0 {
		job.MaxIDs = 100_000
	}
	job.Member = m.member
	acc, err := dedup.Seed(within(m.t), m.conn, job)
	if err != nil {
		m.t.Fatal(err)
	}
	return acc
}

// state is what the stream holds, with the number of messages on each subject.
func (m *mirrored) state() jetstream.StreamState {
	m.t.Helper()
	s, err := m.js.Stream(within(m.t), m.member.Stream)
	if err != nil {
		m.t.Fatal(err)
	}
	info, err := s.Info(within(m.t), jetstream.WithSubjectFilter(">"))
	if err != nil {
		m.t.Fatal(err)
	}
	return info.State
}

// duplicates counts how many of the ids prefix0 … the bound stream answers as duplicates.
func (m *mirrored) duplicates(prefix string, n int) int {
	m.t.Helper()
	count := 0
	for i := range n {
		ack, err := m.conn.Publish(within(m.t), m.subject(i), fmt.Sprintf("%s%d", prefix, i), nil, []byte("again"))
		if err != nil {
			m.t.Fatal(err)
		}
		if ack.Duplicate {
			count++
		}
	}
	return count
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(timeout); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}
