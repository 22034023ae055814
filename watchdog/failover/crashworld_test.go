//go:build failpoint

package failover_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/grouplab"
	"github.com/understudy-ha/understudy/watchdog/natslab"
)

func TestMain(m *testing.M) {
	grouplab.RunIfChild()
	os.Exit(m.Run())
}

// crashWorld is a lab with a group whose leaders die.
type crashWorld struct {
	lab     *natslab.Lab
	g       *grouplab.Group
	met     string // the folder in which each failpoint that was met leaves a file
	streams []guarded
	conns   map[string]*nats.Conn // by site
}

// startCrash makes the streams, and a group that guards them and restarts whoever dies; it returns when all are healthy.
func startCrash(ctx context.Context, t *testing.T, topology natslab.Topology, settings grouplab.Settings, streams []guarded) *crashWorld {
	t.Helper()
	lab, err := natslab.Start(ctx, natslab.Options{Topology: topology})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lab.Close() })
	w := &crashWorld{lab: lab, met: t.TempDir(), streams: streams, conns: map[string]*nats.Conn{}}
	var waits []string
	o := grouplab.Options{Lab: lab, Settings: settings}
	for _, s := range streams {
		w.make(ctx, t, s)
		waits = append(waits, s.armed(s.waits)...)
		o.Streams = append(o.Streams, s.Stream)
	}
	o.Env = []string{"UNDERSTUDY_FAILPOINTS=" + strings.Join(deaths(streams), ","), "UNDERSTUDY_FAILPOINT_WAITS=" + strings.Join(waits, ","),
		"UNDERSTUDY_FAILPOINT_DIR=" + w.met}
	if w.g, err = grouplab.Start(ctx, o); err != nil {
		t.Fatal(err)
	}
	stop := restartDead(t, w.g)
	t.Cleanup(func() {
		stop()
		w.g.Close()
		if t.Failed() {
			w.tails(t)
		}
	})
	w.wait(ctx, t, "all are healthy", all(api.StateHealthy))
	return w
}

// restartDead starts every watchdog that dies again, as systemd would, until stop is called.
func restartDead(t *testing.T, g *grouplab.Group) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	for _, d := range g.Dogs {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				case <-d.Done():
				}
				if err := d.Start(); err != nil {
					t.Errorf("restart %s: %v", d.Name, err)
					return
				}
			}
		})
	}
	return func() { close(done); wg.Wait() }
}

// make makes a stream at its origin and its mirrors, and puts a message in.
func (w *crashWorld) make(ctx context.Context, t *testing.T, s guarded) {
	t.Helper()
	streams := maps.Clone(s.Mirrors)
	streams[s.Origin] = s.Name
	domains := w.lab.Topology() == natslab.Domains
	for site, stream := range streams {
		c := jetstream.StreamConfig{Name: stream, Subjects: []string{s.Name + ".>"}}
		if !domains {
			c.Placement = &jetstream.Placement{Cluster: site}
		}
		if site != s.Origin {
			c.Subjects, c.Mirror = nil, &jetstream.StreamSource{Name: s.Name}
			if domains {
				c.Mirror.External = &jetstream.ExternalStream{APIPrefix: "$JS." + s.Origin + ".API"}
			}
		}
		if _, err := w.js(ctx, t, site).CreateStream(ctx, c); err != nil {
			t.Fatalf("create %s at %s: %v", stream, site, err)
		}
	}
	w.publish(ctx, t, s.Origin, s.Name+".first")
}

// js speaks to a site.
func (w *crashWorld) js(ctx context.Context, t *testing.T, site string) jetstream.JetStream {
	t.Helper()
	nc := w.conns[site]
	if nc == nil || nc.IsClosed() {
		var err error
		if nc, err = w.lab.Connect(ctx, site, site); err != nil {
			t.Fatal(err)
		}
		w.conns[site] = nc
		t.Cleanup(nc.Close)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// publish sends a message for each subject, which is its body and its id, too, and wants all of them acked.
func (w *crashWorld) publish(ctx context.Context, t *testing.T, site string, subjects ...string) {
	t.Helper()
	js := w.js(ctx, t, site)
	acks := make([]jetstream.PubAckFuture, len(subjects))
	for i, s := range subjects {
		var err error
		if acks[i], err = js.PublishAsync(s, []byte(s), jetstream.WithMsgID(s)); err != nil {
			t.Fatalf("publish %s: %v", s, err)
		}
	}
	for i, ack := range acks {
		select {
		case <-ack.Ok():
		case err := <-ack.Err():
			t.Fatalf("publish %s: %v", subjects[i], err)
		case <-ctx.Done():
			t.Fatalf("publish %s: %v", subjects[i], ctx.Err())
		}
	}
}

// pace is how often a group is asked: the status of many streams is long, and the watchdogs share the machine.
const pace = 100 * time.Millisecond

// wait waits for a status of the group.
func (w *crashWorld) wait(ctx context.Context, t *testing.T, what string, ok func(api.Status) bool) api.Status {
	t.Helper()
	var last api.Status
	for began := time.Now(); ctx.Err() == nil; time.Sleep(pace) {
		st, err := w.g.Status(ctx)
		if err != nil {
			continue
		}
		if last = st; ok(st) {
			t.Logf("%s after %s", what, time.Since(began).Round(time.Millisecond))
			return st
		}
	}
	for _, s := range last.Streams {
		t.Logf("%s: %s, epoch %d, primary %s: %s %s; attempt %v, care %+v", s.Name, s.State, s.Epoch, s.Primary, s.Reason.Code, s.Reason.Text, s.Attempt, s.Aftercare)
	}
	t.Fatalf("not reached: %s: %v", what, ctx.Err())
	return last
}

func all(want string) func(api.Status) bool {
	return func(st api.Status) bool {
		return len(st.Streams) > 0 && !slices.ContainsFunc(st.Streams, func(s api.StreamStatus) bool { return s.State != want })
	}
}

func one(name, want string) func(api.Status) bool {
	return func(st api.Status) bool {
		s, ok := st.Stream(name)
		return ok && s.State == want
	}
}

// do asks the group until one of its watchdogs has it done.
func (w *crashWorld) do(ctx context.Context, t *testing.T, r api.Request) {
	t.Helper()
	for {
		leader, err := w.g.WaitLeader(ctx)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := w.g.Dog(leader).Client().Do(ctx, r)
		if err == nil && resp.Outcome == api.OutcomeDone {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("%s %s: %v %v", r.Verb, r.Stream, resp, err)
		}
	}
}

func (w *crashWorld) hasMet(point string) bool {
	_, err := os.Stat(filepath.Join(w.met, point))
	return err == nil
}

// await waits until a failpoint was met.
func (w *crashWorld) await(ctx context.Context, t *testing.T, point string) {
	t.Helper()
	for !w.hasMet(point) {
		if ctx.Err() != nil {
			t.Fatalf("failpoint %s was never met", point)
		}
		time.Sleep(time.Millisecond)
	}
}

// checkMet wants every failpoint met.
func (w *crashWorld) checkMet(t *testing.T) {
	t.Helper()
	for _, s := range w.streams {
		for _, name := range s.armed(s.all()) {
			if !w.hasMet(name) {
				t.Errorf("failpoint %s was not met", name)
			}
		}
	}
}

func (w *crashWorld) tails(t *testing.T) {
	for _, d := range w.g.Dogs {
		b, err := os.ReadFile(d.LogFile)
		if err != nil {
			t.Log(err)
			continue
		}
		t.Logf("%s:\n%s", d.Name, b[max(0, len(b)-8000):])
	}
}

func (w *crashWorld) kill(t *testing.T, site string) {
	t.Helper()
	if err := w.lab.Site(site).Kill(); err != nil {
		t.Fatal(fmt.Errorf("kill %s: %w", site, err))
	}
}
