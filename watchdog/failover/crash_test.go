//go:build failpoint

package failover_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/grouplab"
	"github.com/understudy-ha/understudy/watchdog/natslab"
)

func TestMain(m *testing.M) {
	grouplab.RunIfChild()
	os.Exit(m.Run())
}

// points are the failpoints: before and after each commit, and after each effect, of each write and each phase.
func points(topology natslab.Topology) []string {
	kinds := []string{"promote", "bind"}
	if topology == natslab.Supercluster {
		kinds = append(kinds, "park") // separate domains have nothing to park while the origin is dead
	}
	var list []string
	for _, k := range kinds {
		for _, at := range []string{"before-open-", "after-open-", "after-send-"} {
			list = append(list, at+k)
		}
	}
	for _, k := range []string{"promote", "bind"} { // a dead origin never replies to its park: it is closed by its effect
		list = append(list, "after-close-"+k)
	}
	for _, p := range []string{"confirm", "fence", "promote", "bind", "verify"} {
		list = append(list, "before-result-"+p, "after-result-"+p)
	}
	return list
}

// TestCrashEachPhase gives each failpoint a stream of its own, kills the origins' site once, lets one stream after the
// other go, and restarts the leader that its failpoint kills. In the end every failpoint was met, and every stream was
// promoted once, to the target that its epoch began with.
func TestCrashEachPhase(t *testing.T) {
	for _, topology := range []natslab.Topology{natslab.Domains, natslab.Supercluster} {
		t.Run(string(topology), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
			defer cancel()
			crashAll(ctx, t, topology, points(topology))
		})
	}
}

func crashAll(ctx context.Context, t *testing.T, topology natslab.Topology, points []string) {
	lab, err := natslab.Start(ctx, natslab.Options{Topology: topology})
	if err != nil {
		t.Fatal(err)
	}
	defer lab.Close()
	var streams []grouplab.Stream
	var armed []string
	for i, p := range points {
		name := fmt.Sprintf("S%02d", i)
		makeGuarded(ctx, t, lab, name)
		streams = append(streams, grouplab.Stream{Name: name, Origin: "east", Mirrors: map[string]string{"west": name + "_W", "eu": name + "_EU"}})
		armed = append(armed, p+"@"+name)
	}
	met := t.TempDir()
	g, err := grouplab.Start(ctx, grouplab.Options{Lab: lab, Streams: streams,
		Settings: grouplab.Settings{Every: 200 * time.Millisecond},
		Env:      []string{"UNDERSTUDY_FAILPOINTS=" + strings.Join(armed, ","), "UNDERSTUDY_FAILPOINT_DIR=" + met}})
	if err != nil {
		t.Fatal(err)
	}
	stop := restartDead(t, g)
	defer func() { stop(); g.Close() }()
	defer func() {
		if t.Failed() {
			tails(t, g)
		}
	}()
	if _, err := g.WaitStatus(ctx, all(api.StateHealthy)); err != nil {
		t.Fatal(err)
	}
	for _, s := range streams {
		do(ctx, t, g, api.Request{Verb: api.VerbHold, Stream: s.Name, By: "test"})
	}
	if err := lab.Site("east").Kill(); err != nil {
		t.Fatal(err)
	}
	for _, s := range streams {
		do(ctx, t, g, api.Request{Verb: api.VerbResume, Stream: s.Name, By: "test"})
		st, err := g.WaitStatus(ctx, one(s.Name, api.StateFailedOver))
		if err != nil {
			last, _ := st.Stream(s.Name)
			t.Fatalf("%s: %v; %s %s %v", s.Name, err, last.State, last.Phase, last.Reason)
		}
	}
	st, err := g.WaitStatus(ctx, all(api.StateFailedOver))
	if err != nil {
		t.Fatal(err)
	}
	checkMet(t, met, armed)
	for _, s := range st.Streams {
		checkOnce(t, s, historyOf(ctx, t, g, s.Name))
	}
	checkServers(ctx, t, lab, st)
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
func do(ctx context.Context, t *testing.T, g *grouplab.Group, r api.Request) {
	t.Helper()
	for {
		leader, err := g.WaitLeader(ctx)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := g.Dog(leader).Client().Do(ctx, r)
		if err == nil && resp.Outcome == api.OutcomeDone {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("%s %s: %v %v", r.Verb, r.Stream, resp, err)
		}
	}
}

func checkMet(t *testing.T, dir string, armed []string) {
	t.Helper()
	for _, name := range armed {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Errorf("failpoint %s was not met", name)
		}
	}
}

func historyOf(ctx context.Context, t *testing.T, g *grouplab.Group, stream string) []policy.Entry {
	t.Helper()
	for _, d := range g.Dogs {
		if h, err := d.Client().History(ctx, stream, 0); err == nil {
			return h
		}
	}
	t.Fatalf("no watchdog tells the history of %s", stream)
	return nil
}

// checkOnce wants one begin, one completion, and the target of the begin as the primary.
func checkOnce(t *testing.T, s api.StreamStatus, history []policy.Entry) {
	t.Helper()
	count := map[string]int{}
	for _, e := range history {
		count[e.Kind]++
		if e.Kind == "failover_started" && !strings.Contains(e.Reason.Text, " to "+s.Primary.String()+" ") {
			t.Errorf("%s: primary %s, but %s", s.Name, s.Primary, e.Reason.Text)
		}
	}
	if count["failover_started"] != 1 || count["failover_completed"] != 1 || s.Epoch != 1 {
		t.Errorf("%s: epoch %d, begun %d, completed %d, want 1 each: %v", s.Name, s.Epoch, count["failover_started"], count["failover_completed"], history)
	}
}

// checkServers asks the servers themselves: the primary is bound, every other stream of the group is still a mirror.
func checkServers(ctx context.Context, t *testing.T, lab *natslab.Lab, st api.Status) {
	t.Helper()
	for _, site := range []string{"west", "eu"} {
		js := connect(ctx, t, lab, site)
		for _, s := range st.Streams {
			for _, m := range s.Members {
				if m.Site != site {
					continue
				}
				stream, err := js.Stream(ctx, m.Stream)
				if err != nil {
					t.Errorf("%s/%s: %v", m.Site, m.Stream, err)
					continue
				}
				c := stream.CachedInfo().Config
				primary := s.Primary == policy.MemberID{Site: m.Site, Stream: m.Stream}
				if primary && (c.Mirror != nil || !slices.Equal(c.Subjects, []string{s.Name + ".>"})) {
					t.Errorf("%s/%s is the primary, and is %v, mirror %v", m.Site, m.Stream, c.Subjects, c.Mirror)
				}
				if !primary && c.Mirror == nil {
					t.Errorf("%s/%s is not the primary, and was promoted", m.Site, m.Stream)
				}
			}
		}
	}
}

func connect(ctx context.Context, t *testing.T, lab *natslab.Lab, site string) jetstream.JetStream {
	t.Helper()
	nc, err := lab.Connect(ctx, site, site)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// makeGuarded makes an origin in east with a mirror in west and one in eu, and puts a message in.
func makeGuarded(ctx context.Context, t *testing.T, lab *natslab.Lab, name string) {
	t.Helper()
	domains := lab.Topology() == natslab.Domains
	for site, stream := range map[string]string{"east": name, "west": name + "_W", "eu": name + "_EU"} {
		c := jetstream.StreamConfig{Name: stream, Subjects: []string{name + ".>"}}
		if !domains {
			c.Placement = &jetstream.Placement{Cluster: site}
		}
		if site != "east" {
			c.Subjects, c.Mirror = nil, &jetstream.StreamSource{Name: name}
			if domains {
				c.Mirror.External = &jetstream.ExternalStream{APIPrefix: "$JS.east.API"}
			}
		}
		js := connect(ctx, t, lab, site)
		if _, err := js.CreateStream(ctx, c); err != nil {
			t.Fatalf("create %s at %s: %v", stream, site, err)
		}
	}
	if _, err := connect(ctx, t, lab, "east").Publish(ctx, name+".first", []byte("1")); err != nil {
		t.Fatal(err)
	}
}

func tails(t *testing.T, g *grouplab.Group) {
	for _, d := range g.Dogs {
		b, err := os.ReadFile(d.LogFile)
		if err != nil {
			t.Log(err)
			continue
		}
		t.Logf("%s:\n%s", d.Name, b[max(0, len(b)-8000):])
	}
}
