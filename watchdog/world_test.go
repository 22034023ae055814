package watchdog_test

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/grouplab"
	"github.com/understudy-ha/understudy/watchdog/natslab"
)

const (
	// soon is the deadline of what takes milliseconds on an idle machine.
	soon = 20 * time.Second
	// outage is the deadline of what needs the threshold of 5 s to pass first.
	outage = 40 * time.Second
	// awhile is how long something must not happen before it counts as not happening: several intervals.
	awhile = 1500 * time.Millisecond
)

// world is one lab with one group of watchdogs.
type world struct {
	ctx   context.Context
	lab   *natslab.Lab
	g     *grouplab.Group
	conns map[string]*nats.Conn
	pause time.Duration // between two looks of await; 0 means 20 ms
}

// setup of a world. Zero values: domains, one server a site, an interval of 400 ms.
type setup struct {
	topology natslab.Topology
	servers  int
	settings grouplab.Settings
	streams  []stream
	dogs     []string // the sites of the watchdogs; none: one each
}

func start(t *testing.T, s setup) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	t.Cleanup(cancel)
	lab, err := natslab.Start(ctx, natslab.Options{Topology: s.topology, Servers: s.servers})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{ctx: ctx, lab: lab, conns: map[string]*nats.Conn{}}
	t.Cleanup(func() { w.close(t) })
	if s.topology == natslab.Supercluster {
		if err := lab.MoveMetaLeader(ctx, "west"); err != nil {
			t.Fatal(err)
		}
	}
	o := grouplab.Options{Lab: lab, Settings: s.settings, Sites: s.dogs}
	if o.Settings.Every == 0 {
		o.Settings.Every, o.Settings.Timeout = 400*time.Millisecond, 350*time.Millisecond
	}
	// An election a little slower than the default: a busy machine must not shake the leader off.
	o.Settings.Extra += "raft: {heartbeat: 1500ms, election: 1500ms, lease: 1s}\n"
	for _, st := range s.streams {
		if st.make != nil {
			o.Streams = append(o.Streams, st.make(t, w))
			continue
		}
		w.create(t, st, max(s.servers, 1))
		o.Streams = append(o.Streams, st.guarded(lab))
	}
	if w.g, err = grouplab.Start(ctx, o); err != nil {
		t.Fatal(err)
	}
	for _, st := range s.streams {
		w.awaitState(t, soon, st.name, api.StateHealthy, "")
	}
	return w
}

// logsEnv names a folder in which each test leaves its watchdogs' whole logs.
const logsEnv = "UNDERSTUDY_TEST_LOGS"

// close ends all, and shows the ends of the watchdogs' logs if the test failed.
func (w *world) close(t *testing.T) {
	for _, nc := range w.conns {
		nc.Close()
	}
	if w.g != nil {
		for _, d := range w.g.Dogs {
			w.showLog(t, d)
		}
		if err := w.g.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := w.lab.Close(); err != nil {
		t.Error(err)
	}
}

func (w *world) showLog(t *testing.T, d *grouplab.Dog) {
	log := w.log(t, d)
	if dir := os.Getenv(logsEnv); dir != "" {
		file := filepath.Join(dir, strings.ReplaceAll(t.Name(), "/", "-")+"-"+d.Name)
		if err := os.WriteFile(file, []byte(log), 0o600); err != nil {
			t.Error(err)
		}
	}
	if t.Failed() {
		t.Logf("%s:\n%s", d.Name, log[max(0, len(log)-6000):])
	}
}

// await polls until check returns nil.
func (w *world) await(t *testing.T, within time.Duration, check func() error) {
	t.Helper()
	began := time.Now()
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Since(began) > within || w.ctx.Err() != nil {
			t.Fatalf("after %s: %v", time.Since(began).Round(time.Millisecond), err)
		}
		time.Sleep(cmp.Or(w.pause, 20*time.Millisecond))
	}
}

// throughout checks again and again for a while.
func (w *world) throughout(t *testing.T, d time.Duration, check func() error) {
	t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err := check(); err != nil {
			t.Fatal(err)
		}
	}
}

// status of one stream, as the leader has it.
func (w *world) status(name string) (api.StreamStatus, error) {
	st, err := w.g.Status(w.ctx)
	if err != nil {
		return api.StreamStatus{}, err
	}
	s, ok := st.Stream(name)
	if !ok {
		return s, fmt.Errorf("%s is not in the status", name)
	}
	return s, nil
}

// awaitState waits for a state and, unless it is "", a reason code of a stream.
func (w *world) awaitState(t *testing.T, within time.Duration, name, state string, code policy.Code) api.StreamStatus {
	t.Helper()
	var last api.StreamStatus
	w.await(t, within, func() error {
		s, err := w.status(name)
		if err != nil {
			return err
		}
		last = s
		if s.State != state || code != "" && s.Reason.Code != code {
			return fmt.Errorf("%s is %s (%s %s: %s), want %s %s", name, s.State, s.Phase, s.Reason.Code, s.Reason.Text, state, code)
		}
		return nil
	})
	return last
}

// awaitStatus waits until a stream's status is as wanted.
func (w *world) awaitStatus(t *testing.T, within time.Duration, name string, ok func(api.StreamStatus) bool) api.StreamStatus {
	t.Helper()
	var last api.StreamStatus
	w.await(t, within, func() error {
		s, err := w.status(name)
		if err != nil {
			return err
		}
		if last = s; !ok(s) {
			return fmt.Errorf("%s is %s %s, epoch %d, would have %d, reason %s", name, s.State, s.Phase, s.Epoch, s.WouldHave, s.Reason)
		}
		return nil
	})
	return last
}

// count is how many entries of a kind the history of a stream has.
func (w *world) count(t *testing.T, name, kind string) int {
	t.Helper()
	n := 0
	for _, e := range w.history(t, name) {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

func (w *world) history(t *testing.T, name string) []policy.Entry {
	t.Helper()
	d := w.follower(t)
	w.await(t, soon, func() error { // one that was restarted has its own history only, until it knows the leader
		st, err := d.Client().Status(w.ctx)
		if err == nil && st.Leader == "" {
			err = fmt.Errorf("%s knows no leader", d.Name)
		}
		return err
	})
	h, err := d.Client().History(w.ctx, name, 0) // the leader's, though this one may be catching up
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// do gives a command to a watchdog.
func (w *world) do(t *testing.T, d *grouplab.Dog, r api.Request) api.Response {
	t.Helper()
	r.By = "test"
	resp, err := d.Client().Do(w.ctx, r)
	if err != nil {
		t.Fatalf("%s %s at %s: %v", r.Verb, r.Stream, d.Name, err)
	}
	return resp
}

func (w *world) leader(t *testing.T) *grouplab.Dog {
	t.Helper()
	name, err := w.g.WaitLeader(w.ctx)
	if err != nil {
		t.Fatal(err)
	}
	return w.g.Dog(name)
}

// follower is any running watchdog that does not lead.
func (w *world) follower(t *testing.T) *grouplab.Dog {
	t.Helper()
	leader := w.leader(t)
	for _, d := range w.g.Dogs {
		if d != leader && d.Running() {
			return d
		}
	}
	t.Fatal("no follower runs")
	return nil
}

func (w *world) signal(t *testing.T, d *grouplab.Dog, sig syscall.Signal) {
	t.Helper()
	if err := d.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

func (w *world) log(t *testing.T, d *grouplab.Dog) string {
	t.Helper()
	b, err := os.ReadFile(d.LogFile)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

// awaitLine waits for a log line that holds all the words, after the first n bytes of the log.
func (w *world) awaitLine(t *testing.T, within time.Duration, d *grouplab.Dog, n int, words ...string) string {
	t.Helper()
	found := ""
	w.await(t, within, func() error {
		for line := range strings.Lines(w.log(t, d)[n:]) {
			if hasAll(line, words) {
				found = line
				return nil
			}
		}
		return fmt.Errorf("%s logs no line with %q", d.Name, words)
	})
	return found
}

func hasAll(line string, words []string) bool {
	for _, word := range words {
		if !strings.Contains(line, word) {
			return false
		}
	}
	return true
}

// loseEast kills the origins' site: its servers and its watchdogs.
func (w *world) loseEast(t *testing.T) {
	t.Helper()
	for _, d := range w.g.Dogs {
		if d.Site != "east" {
			continue
		}
		if err := d.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.lab.Site("east").Kill(); err != nil {
		t.Fatal(err)
	}
}

// restoreEast starts what loseEast killed, on the old stores.
func (w *world) restoreEast(t *testing.T) {
	t.Helper()
	if err := w.lab.Site("east").Restart(w.ctx); err != nil {
		t.Fatal(err)
	}
	for _, d := range w.g.Dogs {
		if d.Site == "east" && !d.Running() {
			w.restart(t, d)
		}
	}
}

// restart starts a watchdog again, and waits until it answers: no program handles signals before it has begun.
func (w *world) restart(t *testing.T, d *grouplab.Dog) {
	t.Helper()
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	w.await(t, soon, func() error {
		_, err := d.Client().Status(w.ctx)
		return err
	})
}
