package salvage_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/understudy-ha/understudy/watchdog/jsapi"
	"github.com/understudy-ha/understudy/watchdog/natslab"
	"github.com/understudy-ha/understudy/watchdog/salvage"
)

func TestMain(m *testing.M) {
	natslab.RunIfChild()
	goleak.VerifyTestMain(m)
}

// embedded starts a server inside this process.
func embedded(tb testing.TB) *server.Server {
	tb.Helper()
	o := &server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: tb.TempDir(), NoLog: true, NoSigs: true}
	s, err := server.NewServer(o)
	if err != nil {
		tb.Fatal(err)
	}
	s.Start()
	tb.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		tb.Fatal("embedded server: not ready")
	}
	return s
}

// pair is an origin, OLD, and its mirror, NEW, which becomes the primary.
type pair struct {
	tb  testing.TB
	srv *server.Server
	url string
	js  jetstream.JetStream
	ctx context.Context
	old salvage.Side
	new salvage.Side
	at  uint64 // of the promotion
}

func newPair(tb testing.TB, tune ...func(*jetstream.StreamConfig)) *pair {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 4*time.Minute)
	tb.Cleanup(cancel)
	srv := embedded(tb)
	p := &pair{tb: tb, srv: srv, url: srv.ClientURL(), ctx: ctx}
	p.js = p.jetStream()
	p.old, p.new = p.side("OLD"), p.side("NEW")
	cfg := jetstream.StreamConfig{Name: "OLD", Subjects: []string{"o.>"}, AllowMsgTTL: true, AllowRollup: true, AllowMsgSchedules: true}
	mirror := jetstream.StreamConfig{Name: "NEW", Mirror: &jetstream.StreamSource{Name: "OLD"}, AllowMsgTTL: true, AllowRollup: true}
	for _, f := range tune {
		f(&cfg)
	}
	mirror.MaxMsgsPerSubject, mirror.MaxConsumers = cfg.MaxMsgsPerSubject, cfg.MaxConsumers
	p.must(p.js.CreateStream(ctx, cfg))
	p.must(p.js.CreateStream(ctx, mirror))
	return p
}

func (p *pair) must(_ any, err error) {
	p.tb.Helper()
	if err != nil {
		p.tb.Fatal(err)
	}
}

func (p *pair) jetStream() jetstream.JetStream {
	nc, err := nats.Connect(p.url)
	p.must(nil, err)
	p.tb.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	p.must(nil, err)
	return js
}

// side is a stream behind a connection as a job has it.
func (p *pair) side(stream string) salvage.Side {
	nc, err := jsapi.DialBulk(p.ctx, jsapi.Login{Servers: []string{p.url}})
	p.must(nil, err)
	p.tb.Cleanup(nc.Close)
	return salvage.Side{Site: salvage.Site{Name: "here", Conn: nc}, Stream: stream}
}

// publish stores messages on o.x, with an id unless prefix is "".
func (p *pair) publish(prefix string, n int) {
	p.tb.Helper()
	for i := range n {
		m := nats.NewMsg("o.x")
		m.Data = fmt.Appendf(nil, "%s%d", prefix, i)
		if prefix != "" {
			m.Header.Set(nats.MsgIdHdr, string(m.Data))
		}
		p.send(m)
	}
}

func (p *pair) send(m *nats.Msg) {
	p.tb.Helper()
	p.must(p.js.PublishMsg(p.ctx, m))
}

func (p *pair) last(stream string) uint64 {
	p.tb.Helper()
	s, err := p.js.Stream(p.ctx, stream)
	p.must(nil, err)
	return s.CachedInfo().State.LastSeq
}

// promote waits until the mirror has everything, and makes a stream of it that captures nothing yet.
func (p *pair) promote() {
	p.tb.Helper()
	for p.last("NEW") != p.last("OLD") {
		time.Sleep(2 * time.Millisecond)
		p.must(nil, p.ctx.Err())
	}
	p.at = p.last("NEW")
	p.update("NEW", func(c map[string]any) {
		delete(c, "mirror")
		c["subjects"] = []string{"$devnull.NEW"}
	})
}

// switchOver parks and seals the old origin, and binds the new primary.
func (p *pair) switchOver() {
	p.tb.Helper()
	p.update("OLD", func(c map[string]any) { c["subjects"] = []string{"$devnull.OLD"} })
	p.update("OLD", func(c map[string]any) { c["sealed"] = true })
	p.update("NEW", func(c map[string]any) { c["subjects"] = []string{"o.>"} })
}

func (p *pair) update(stream string, edit func(map[string]any)) {
	p.tb.Helper()
	var info struct {
		Config map[string]any `json:"config"`
		Error  *jsapi.APIError
	}
	p.api("STREAM.INFO."+stream, nil, &info)
	edit(info.Config)
	p.api("STREAM.UPDATE."+stream, info.Config, &info)
	if info.Error != nil {
		p.tb.Fatal(info.Error)
	}
}

func (p *pair) api(verb string, question, out any) {
	p.tb.Helper()
	body, err := json.Marshal(question)
	p.must(nil, err)
	m, err := p.js.Conn().RequestWithContext(p.ctx, "$JS.API."+verb, body)
	p.must(nil, err)
	p.must(nil, json.Unmarshal(m.Data, out))
}

func (p *pair) job() salvage.Job {
	return salvage.Job{Name: "EVENTS", Epoch: 3, Old: p.old, Primary: p.new, UpTo: p.at}
}

func (p *pair) archive() salvage.Account {
	p.tb.Helper()
	a, err := salvage.Archive(p.ctx, p.job())
	p.must(nil, err)
	return a
}

// entries is all that the archive of p.job holds.
func entries(p *pair) []salvage.Entry {
	p.tb.Helper()
	var all []salvage.Entry
	archive := salvage.Side{Site: p.new.Site, Stream: salvage.StreamName("EVENTS", 3, "")}
	p.must(nil, salvage.Show(p.ctx, archive, "", func(e salvage.Entry) error {
		all = append(all, e)
		return nil
	}))
	return all
}

// stopAndCopy ends the server, and returns a copy of its store.
func (p *pair) stopAndCopy() string {
	p.tb.Helper()
	store := filepath.Dir(p.srv.JetStreamConfig().StoreDir)
	p.srv.Shutdown()
	p.srv.WaitForShutdown()
	dir := p.tb.TempDir()
	p.must(nil, os.CopyFS(dir, os.DirFS(store)))
	return dir
}
