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

// The sets of streams of TestCrashAfterwards, by what their leader dies in.
const (
	setSwitchover = "switchover" // to west
	setAbort      = "abort"      // of a switchover whose target falls silent when the primary is parked
	setReturn     = "return"     // of the origin: from the guard to the mirror
	setRepoint    = "repoint"    // of a sibling that is ahead of the new primary
)

// tailLength is how many messages of each stream never leave its origin, longTail that of the stream whose leader dies in the
// middle of copying; ahead is how many only the sibling of a repoint has beside it.
const (
	tailLength = 5
	longTail   = 2500
	ahead      = 2
)

// writePoints are the failpoints of a write: its open, its effect and its close are there, and nothing that comes after.
func writePoints(kinds ...string) []string {
	var list []string
	for _, k := range kinds {
		list = append(list, "after-open-"+k, "after-send-"+k, "after-close-"+k)
	}
	return list
}

// sparePoints are those of the writes to a spare copy. One whose answer is late is not closed by that, but by its effect.
var sparePoints = []string{"after-open-spare", "after-send-spare", "after-open-unspare", "after-send-unspare"}

func phasePoints(prefix string, phases ...policy.Phase) []string {
	var list []string
	for _, p := range phases {
		list = append(list, prefix+string(p))
	}
	return list
}

// afterwardsPoints lists for each set where its leader dies: once each write is logged, sent and closed, and once what each
// phase came to is known and not logged. To die after that is logged is to die before the next.
func afterwardsPoints(topology natslab.Topology) map[string][]string {
	sets := map[string][]string{
		setSwitchover: slices.Concat(writePoints("park", "promote", "bind"), []string{"before-seed", "after-seed", "after-result-verify"},
			phasePoints("before-result-", policy.PhaseConfirm, policy.PhaseFence, policy.PhaseDrain, policy.PhasePromote, policy.PhaseSeed, policy.PhaseBind, policy.PhaseVerify)),
		setAbort: append(writePoints("unpark"), "before-result-fence", "after-result-fence", "before-result-aborting"),
		setReturn: slices.Concat(writePoints("seal", "delete", "create"),
			[]string{"before-care-begin", "after-care-begin", "before-archive", "in-archive", "in-verify", "after-archive", "after-care-catch_up"},
			phasePoints("before-care-", policy.PhaseSeal, policy.PhaseArchive, policy.PhaseArchived, policy.PhaseDelete, policy.PhaseCreate, policy.PhaseCatchUp)),
		setRepoint: slices.Concat(sparePoints, writePoints("delete", "create"), []string{"after-care-begin", "before-archive", "in-archive", "after-archive", "after-care-catch_up"},
			phasePoints("before-care-", policy.PhaseArchive, policy.PhaseArchived, policy.PhaseDelete, policy.PhaseCreate, policy.PhaseCatchUp)),
	}
	if topology == natslab.Domains { // in a shared meta group it is parked before it returns
		sets[setReturn] = append(sets[setReturn], writePoints("park")...)
	}
	return sets
}

// deathOf names the death that a set shares: what happens at the same time ends at once, since a leader that dies for one
// stream might take another one past its failpoint.
func deathOf(set string) string {
	if set == setRepoint {
		return setReturn
	}
	return set
}

// afterwards is a crash world with what was published, and what must have become of it.
type afterwards struct {
	*crashWorld
	sets  map[string][]guarded
	acked map[string][]string // subjects by stream
	tails map[string][]string // those of them that never left the origin, or only for the sibling
}

// TestCrashAfterwards kills the leader at each step of a switchover, of its way back, and of what follows a failover: the
// return guard, the archive, the rejoin and the repoint. Each failpoint has a stream of its own, each stream a tail that
// never left its origin. In the end the servers themselves must show what they would without a crash: one primary, its
// mirrors with all that it holds, and every acked message on it or once in an archive.
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
	w := &afterwards{sets: map[string][]guarded{}, acked: map[string][]string{}, tails: map[string][]string{}}
	var streams []guarded
	for set, points := range afterwardsPoints(topology) {
		for _, p := range points {
			s := guard(set+"-"+p, []string{"west"}, p)
			s.Extra = "    rejoin: auto\n    repoint: auto"
			switch set {
			case setAbort:
				s.waits = []string{"before-open-park"}
			case setRepoint:
				s = guard(s.Name, []string{"west", "eu"}, p)
				s.Never, s.Extra = []string{"eu"}, "    repoint: auto" // the old origin waits for a person, archived
			}
			s.with = deathOf(set)
			w.sets[set], streams = append(w.sets[set], s), append(streams, s)
			w.acked[s.Name] = []string{s.Name + ".first"}
		}
	}
	w.crashWorld = startCrash(ctx, t, topology, grouplab.Settings{Every: 500 * time.Millisecond}, streams)
	if topology == natslab.Supercluster {
		if err := w.lab.MoveMetaLeader(ctx, "eu"); err != nil {
			t.Fatal(err)
		}
	}
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
			last = fmt.Sprint(r, err)
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
	for _, s := range w.sets[setSwitchover] {
		w.switchTo(ctx, t, s.Name, "west")
	}
	w.waitSet(ctx, t, setSwitchover, "are switched over", func(s api.StreamStatus) bool {
		return s.Primary.Site == "west" && s.State == api.StateHealthy && s.Epoch == 1 && len(s.Aftercare) == 0
	})
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
	w.cut(t, "west")
	for _, s := range w.sets[setRepoint] {
		w.publishTail(ctx, t, s, "ahead", ahead)
	}
	w.awaitSiblings(ctx, t)
	w.cut(t, "eu")
	for _, s := range w.lost() {
		n := tailLength
		if strings.HasPrefix(s.Name, setReturn+"-in-") {
			n = longTail
		}
		w.publishTail(ctx, t, s, "tail", n)
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
	w.publish(ctx, t, "east", subjects...)
	w.acked[s.Name], w.tails[s.Name] = append(w.acked[s.Name], subjects...), append(w.tails[s.Name], subjects...)
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

// awaitSiblings waits until the mirrors at eu hold what those at west do not get.
func (w *afterwards) awaitSiblings(ctx context.Context, t *testing.T) {
	t.Helper()
	js := w.js(ctx, t, "eu")
	for _, s := range w.sets[setRepoint] {
		for {
			stream, err := js.Stream(ctx, s.Mirrors["eu"])
			if err == nil && stream.CachedInfo().State.LastSeq == 1+ahead {
				break
			}
			if ctx.Err() != nil {
				t.Fatalf("%s does not follow: %v", s.Mirrors["eu"], err)
			}
			time.Sleep(5 * time.Millisecond)
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
		if strings.HasSuffix(s.points[0], "-spare") { // with east there is another copy, and no need of one
			w.await(ctx, t, s.armed(s.points)[0])
		}
	}
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
