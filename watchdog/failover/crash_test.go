//go:build failpoint

package failover_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/grouplab"
	"github.com/understudy-ha/understudy/watchdog/natslab"
)

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
	var streams []guarded
	for _, p := range points {
		streams = append(streams, guard(p, []string{"west", "eu"}, p))
	}
	w := startCrash(ctx, t, topology, grouplab.Settings{Every: 200 * time.Millisecond}, streams)
	for _, s := range streams {
		w.do(ctx, t, api.Request{Verb: api.VerbHold, Stream: s.Name, By: "test"})
	}
	w.kill(t, "east")
	for _, s := range streams {
		w.do(ctx, t, api.Request{Verb: api.VerbResume, Stream: s.Name, By: "test"})
		w.wait(ctx, t, s.Name+" is failed over", one(s.Name, api.StateFailedOver))
	}
	st := w.wait(ctx, t, "all are failed over", all(api.StateFailedOver))
	w.checkMet(t)
	for _, s := range st.Streams {
		checkOnce(t, s, w.history(ctx, t, s.Name))
	}
	w.checkServers(ctx, t, st)
}

func (w *crashWorld) history(ctx context.Context, t *testing.T, stream string) []policy.Entry {
	t.Helper()
	for _, d := range w.g.Dogs {
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

// checkServers asks the servers that live: the primary is bound, every other stream of the group is still a mirror.
func (w *crashWorld) checkServers(ctx context.Context, t *testing.T, st api.Status) {
	t.Helper()
	for _, s := range st.Streams {
		for _, m := range s.Members {
			if m.Site == "east" {
				continue
			}
			stream, err := w.js(ctx, t, m.Site).Stream(ctx, m.Stream)
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
