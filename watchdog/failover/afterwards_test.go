//go:build failpoint

package failover_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/grouplab"
	"github.com/understudy-ha/understudy/watchdog/natslab"
)

// afterwards is a crash world with what was published, and what must have become of it.
type afterwards struct {
	*crashWorld
	sets  map[string][]guarded
	acked map[string][]string // subjects by stream
	tails map[string][]string // those of them that never left the origin, or only for the sibling
	*siblings
}

// TestCrashAfterwards kills the leader at each step of a switchover, of its way back, of carrying consumers, and of what
// follows a failover: the re-pointed sourcing streams, the return guard, the archive, its replay, the rejoin and the repoint.
// In each death a failpoint has a stream of its own, and each stream that is failed over has a tail that never left its origin.
// In the end the servers themselves must show what they would without a crash: one primary, its mirrors with all that it holds, every acked
// message on it or once in an archive, and applications that go on where they were.
func TestCrashAfterwards(t *testing.T) {
	for _, topology := range []natslab.Topology{natslab.Domains, natslab.Supercluster} {
		t.Run(string(topology), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
			defer cancel()
			w := startAfterwards(ctx, t, topology)
			w.switchAll(ctx, t)
			w.abortAll(ctx, t)
			w.loseEast(ctx, t)
			w.restoreEast(ctx, t)
			w.checkMet(t)
			w.checkEnd(ctx, t)
		})
	}
}

func startAfterwards(ctx context.Context, t *testing.T, topology natslab.Topology) *afterwards {
	t.Helper()
	w := &afterwards{sets: afterwardsStreams(topology), acked: map[string][]string{}, tails: map[string][]string{}}
	var streams []guarded
	for _, set := range w.sets {
		streams = append(streams, set...)
	}
	for _, s := range streams {
		w.acked[s.Name] = []string{s.Name + ".first"}
	}
	// So many streams make a busy machine shake a leader off that has the default's quarter of a second; a long tail, published at
	// once, is a rate at which the loss is estimated too high.
	w.crashWorld = startCrash(ctx, t, topology, grouplab.Settings{Every: 500 * time.Millisecond,
		Extra: "raft: {heartbeat: 1s, election: 1s, lease: 750ms}\nloss: {max_messages: 10000000}"}, streams)
	if topology == natslab.Supercluster {
		if err := w.lab.MoveMetaLeader(ctx, "eu"); err != nil {
			t.Fatal(err)
		}
	}
	w.startApplications(ctx, t)
	return w
}

// switchTo asks for a switchover until it has begun. A leader that dies right after may leave no answer.
func (w *afterwards) switchTo(ctx context.Context, t *testing.T, name, site string) {
	t.Helper()
	last := "nobody answered"
	for {
		st, err := w.g.Status(ctx)
		if s, ok := st.Stream(name); err == nil && ok && s.Epoch > 0 {
			return
		}
		if err == nil {
			r, err := w.g.Dog(st.Leader).Client().Do(ctx, api.Request{Verb: api.VerbSwitchover, Stream: name, Site: site, By: "test", DeadlineMS: 60_000})
			if last = fmt.Sprint(r, err); err == nil && r.Outcome == api.OutcomeDone {
				return
			}
		}
		if ctx.Err() != nil {
			t.Fatalf("no switchover of %s: %s", name, last)
		}
		time.Sleep(pace)
	}
}

// switchAll makes west the primary of a set of streams, and waits until all of it is done.
func (w *afterwards) switchAll(ctx context.Context, t *testing.T) {
	t.Helper()
	for _, set := range []string{setSwitchover, setCarry} {
		for _, s := range w.sets[set] {
			w.switchTo(ctx, t, s.Name, "west")
		}
	}
	for _, set := range []string{setSwitchover, setCarry} {
		w.waitSet(ctx, t, set, "are switched over", func(s api.StreamStatus) bool {
			return s.Primary.Site == "west" && s.State == api.StateHealthy && s.Epoch == 1 && len(s.Aftercare) == 0
		})
	}
	for _, s := range w.sets[setCarry] {
		w.publishAt(ctx, t, "west", s, s.Name+".after")
	}
}

// abortAll begins switchovers to west, and lets west fall silent right before their primaries are parked.
func (w *afterwards) abortAll(ctx context.Context, t *testing.T) {
	t.Helper()
	var waits []string
	for _, s := range w.sets[setAbort] {
		w.switchTo(ctx, t, s.Name, "west")
		waits = append(waits, s.armed(s.waits)...)
	}
	for _, point := range waits {
		w.await(ctx, t, point)
	}
	if err := w.lab.Site("west").Pause(); err != nil {
		t.Fatal(err)
	}
	for _, point := range waits {
		if err := os.WriteFile(filepath.Join(w.met, point+".released"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.waitSet(ctx, t, setAbort, "are aborted", func(s api.StreamStatus) bool {
		return s.Attempt == nil && s.Last != nil && s.Last.Phase == policy.PhaseAborted && s.Primary.Site == "east" && s.Reason.Code == policy.Healthy
	})
	if err := w.lab.Site("west").Resume(); err != nil {
		t.Fatal(err)
	}
	w.wait(ctx, t, "all are healthy", all(api.StateHealthy))
}

// waitSet waits until all streams of a set are as wanted.
func (w *afterwards) waitSet(ctx context.Context, t *testing.T, set, what string, ok func(api.StreamStatus) bool) {
	t.Helper()
	w.wait(ctx, t, "those of "+set+" "+what, func(st api.Status) bool {
		return !slices.ContainsFunc(st.Streams, func(s api.StreamStatus) bool { return strings.HasPrefix(s.Name, set+"-") && !ok(s) })
	})
}

// lost are the streams whose primary dies with east.
func (w *afterwards) lost() []guarded {
	return slices.Concat(w.sets[setAbort], w.sets[setReturn], w.sets[setRepoint])
}

// loseEast kills east with messages that nobody else has, and some that only the siblings have.
func (w *afterwards) loseEast(ctx context.Context, t *testing.T) {
	t.Helper()
	w.awaitKept(ctx, t)
	w.cut(t, "west")
	for _, s := range slices.Concat(w.sets[setRepoint], w.sourced()) {
		w.publishTail(ctx, t, s, "ahead", ahead)
	}
	w.awaitAhead(ctx, t)
	w.cut(t, "eu")
	for _, s := range w.lost() {
		w.publishTail(ctx, t, s, "tail", s.tail())
	}
	w.kill(t, "east")
	for _, pair := range w.replication("west", "eu") {
		if err := w.lab.HealPair(pair[0], pair[1]); err != nil {
			t.Fatal(err)
		}
	}
	w.wait(ctx, t, "west has taken over", func(st api.Status) bool {
		return !slices.ContainsFunc(st.Streams, func(s api.StreamStatus) bool { return s.Primary.Site != "west" || s.Attempt != nil })
	})
}

// publishTail puts messages into an origin that do not reach the mirror at west.
func (w *afterwards) publishTail(ctx context.Context, t *testing.T, s guarded, label string, n int) {
	t.Helper()
	var subjects []string
	for i := range n {
		subjects = append(subjects, fmt.Sprintf("%s.%s.%d", s.Name, label, i))
	}
	w.publishAt(ctx, t, "east", s, subjects...)
	w.tails[s.Name] = append(w.tails[s.Name], subjects...)
}

// replication is what leads from east to some sites.
func (w *afterwards) replication(sites ...string) [][2]string {
	var pairs [][2]string
	for _, site := range sites {
		if w.lab.Topology() == natslab.Domains {
			pairs = append(pairs, [2]string{site, "hub"})
		} else {
			pairs = append(pairs, [2]string{"east", site})
		}
	}
	return pairs
}

// cut keeps a site from following east.
func (w *afterwards) cut(t *testing.T, site string) {
	t.Helper()
	for _, pair := range w.replication(site) {
		if err := w.lab.CutPair(pair[0], pair[1], natslab.BlackHole); err != nil {
			t.Fatal(err)
		}
	}
}

// restoreEast brings east back, and waits until everything is in order again. Meanwhile publishers have gone on, and have
// repeated what they had no ack for.
func (w *afterwards) restoreEast(ctx context.Context, t *testing.T) {
	t.Helper()
	for _, s := range w.lost() {
		after := s.Name + ".after"
		w.publish(ctx, t, "west", append(slices.Clone(w.tails[s.Name][:ahead]), after)...)
		w.acked[s.Name] = append(w.acked[s.Name], after)
	}
	for _, s := range w.sets[setRepoint] {
		if p := s.shared[deathOf(setRepoint)]; strings.HasSuffix(p[0], "-spare") { // with east there is another copy, and no need of one
			w.await(ctx, t, s.armed(p)[0])
		}
	}
	w.watchSiblings(ctx, t)
	defer w.siblings.end()
	if err := w.lab.Site("east").Restart(ctx); err != nil {
		t.Fatal(err)
	}
	w.wait(ctx, t, "the care has come to its end", func(st api.Status) bool {
		return !slices.ContainsFunc(st.Streams, func(s api.StreamStatus) bool { return !inOrder(s) })
	})
}

// inOrder reports that nothing is left to do for a stream: all members are mirrors again, or the old origin waits for a
// person's word.
func inOrder(s api.StreamStatus) bool {
	if !strings.HasPrefix(s.Name, setRepoint+"-") {
		return s.State == api.StateHealthy && len(s.Aftercare) == 0
	}
	return s.State == api.StateReturned && len(s.Spares) == 0 && len(s.Aftercare) == 1 && s.Aftercare[0].Waiting.Code == policy.AwaitingApproval
}
