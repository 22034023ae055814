package watchdog_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/grouplab"
	"github.com/understudy-ha/understudy/watchdog/natslab"
	"github.com/understudy-ha/understudy/watchdog/salvage"
)

// TestSharedMeta crashes a site of a supercluster, brings it back, and then shuts it down, which the meta group knows.
func TestSharedMeta(t *testing.T) {
	t.Parallel()
	w := start(t, setup{topology: natslab.Supercluster, streams: []stream{
		{name: "CRASH", onlyWest: true}, {name: "FENCE"}, {name: "DELETE", extra: "release: delete"},
	}})
	s := sharedMeta{w: w}
	t.Run("crashed", s.crashed)
	t.Run("returned", s.returned)
	t.Run("offline-fence", s.offlineFence)
	t.Run("offline-delete", s.offlineDelete)
	t.Run("store-read", s.storeRead)
}

type sharedMeta struct{ w *world }

// crashed kills the site of all three, of which two are held.
func (s sharedMeta) crashed(t *testing.T) {
	for _, name := range []string{"FENCE", "DELETE"} {
		s.w.do(t, s.w.follower(t), api.Request{Verb: api.VerbHold, Stream: name})
		s.w.awaitState(t, soon, name, api.StateHeld, policy.Held)
	}
	if err := s.w.g.MoveLeader(s.w.ctx, "wd-east"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	s.w.loseEast(t)
	st := s.w.awaitState(t, outage, "CRASH", api.StateFailedOver, "")
	t.Logf("failed over %s after the loss of the site and the leader", time.Since(began).Round(time.Millisecond))
	if st.Epoch != 1 {
		t.Errorf("epoch %d, want 1", st.Epoch)
	}
	if err := s.w.bound("west", "CRASH_WEST", "CRASH"); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"FENCE", "DELETE"} {
		if err := s.w.isMirror("west", mirrorName(name, "west")); err != nil {
			t.Error(err)
		}
	}
}

// returned wants the fence that was committed while the origin was dead to hold, or to be made again.
func (s sharedMeta) returned(t *testing.T) {
	s.w.restoreEast(t)
	s.w.awaitState(t, soon, "CRASH", api.StateReturned, policy.Healthy)
	s.w.await(t, soon, func() error { return s.w.parked("east", "CRASH") })
	i, age := s.w.mustInfo(t, "east", "CRASH"), time.Second
	i.field(t, "max_age", &age)
	if meta := i.metadata(); age != 0 || !strings.Contains(meta["understudy.write"], ".park.") {
		t.Errorf("the returned origin has max_age %s and metadata %v, want 0 and our stamp", age, meta)
	}
	before := s.w.mustInfo(t, "east", "CRASH").State.LastSeq
	if ack := s.w.publish(t, "eu", "CRASH", 1); ack.Stream != "CRASH_WEST" {
		t.Errorf("a publish was taken by %s", ack.Stream)
	}
	if after := s.w.mustInfo(t, "east", "CRASH").State.LastSeq; after != before {
		t.Errorf("the fenced origin took a message: %d, then %d", before, after)
	}
	if n := s.w.count(t, "CRASH", "origin_returned"); n != 1 {
		t.Errorf("origin_returned was told %d times", n)
	}
	for _, name := range []string{"FENCE", "DELETE"} {
		s.w.do(t, s.w.leader(t), api.Request{Verb: api.VerbResume, Stream: name})
		s.w.awaitState(t, soon, name, api.StateHealthy, policy.Healthy)
	}
}

func (s sharedMeta) offlineFence(t *testing.T) {
	if err := s.w.lab.Site("east").Shutdown(s.w.ctx); err != nil {
		t.Fatal(err)
	}
	st := s.w.awaitStatus(t, outage, "FENCE", func(st api.StreamStatus) bool {
		return st.OutageMS >= st.ThresholdMS && st.Reason.Code == policy.SubjectsUnreleasable
	})
	if !strings.Contains(st.Reason.Text, "nats stream rm FENCE -f") {
		t.Errorf("the reason does not tell how to release the subjects: %s", st.Reason.Text)
	}
	s.w.throughout(t, awhile, func() error { return s.w.isMirror("west", "FENCE_WEST") })
}

// offlineDelete wants the other one failed over by the delete that its config allows.
func (s sharedMeta) offlineDelete(t *testing.T) {
	st := s.w.awaitStatus(t, outage, "DELETE", func(st api.StreamStatus) bool { return st.Epoch == 1 && st.Attempt == nil })
	if st.Last == nil || !st.Last.DeleteOpened || st.Primary.Site == "east" {
		t.Errorf("primary %s, attempt %+v, want one that deleted", st.Primary, st.Last)
	}
	if err := s.w.bound(st.Primary.Site, st.Primary.Stream, "DELETE"); err != nil {
		t.Error(err)
	}
	if _, err := s.w.info("west", "DELETE"); err == nil || !strings.Contains(err.Error(), "not found") {
		t.Errorf("the origin is still there: %v", err)
	}
}

// storeRead archives from a copy of its servers' store what the deleted origin held, as `understudy salvage --from-store` does, and
// wants the watchdogs to take the loss for known from then on.
func (s sharedMeta) storeRead(t *testing.T) {
	st, err := s.w.status("DELETE")
	if err != nil || len(st.Unread) != 1 || st.Last == nil || st.Unread[0].Member != st.Last.From || st.Lost != st.Unread[0].AtLeast {
		t.Fatalf("lost %d with %+v, %v, want what the deleted origin is thought to have had", st.Lost, st.Unread, err)
	}
	dirs, err := s.w.lab.Site("east").CopyStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	store, err := salvage.OpenStore(s.w.ctx, "DELETE", "", dirs...)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	nc, err := s.w.conn(st.Primary.Site)
	if err != nil {
		t.Fatal(err)
	}
	a, err := salvage.Archive(s.w.ctx, salvage.Job{Name: "DELETE", Epoch: st.Last.Epoch, UpTo: st.Last.LastSeq, Old: store.Side,
		Primary: salvage.Side{Site: salvage.Site{Name: st.Primary.Site, Conn: nc}, Stream: st.Primary.Stream}})
	if err != nil {
		t.Fatal(err)
	}
	r := api.Request{Verb: api.VerbSalvaged, Stream: "DELETE", Epoch: st.Last.Epoch + 1, Member: st.Last.From, Tail: a.Tail(st.Primary.Site)}
	if resp := s.w.do(t, s.w.follower(t), r); resp.Outcome != api.OutcomeRefused || !strings.Contains(resp.Reason.Text, "failover 2") {
		t.Errorf("of a failover that never was: %+v", resp)
	}
	r.Epoch = st.Last.Epoch
	if resp := s.w.do(t, s.w.follower(t), r); resp.Outcome != api.OutcomeDone {
		t.Errorf("%+v", resp)
	}
	s.w.awaitStatus(t, soon, "DELETE", func(st api.StreamStatus) bool { return len(st.Unread) == 0 && st.Lost == 0 })
	if n := s.w.count(t, "DELETE", "tail_salvaged"); n != 1 {
		t.Errorf("tail_salvaged was told %d times", n)
	}
}

// TestMetaQuorumLost loses one of two clusters, and with it the right to promote anything.
func TestMetaQuorumLost(t *testing.T) {
	t.Parallel()
	// The servers need 8 s to notice; an outage that is shorter would begin a failover, and hold it at its fence.
	w := start(t, setup{topology: natslab.TwoCluster, streams: []stream{{name: "ORDERS"}},
		settings: grouplab.Settings{After: 20 * time.Second}})
	t.Run("idle", w.idle)
	t.Run("quorum-lost", w.quorumLost)
}

// idle wants a healthy group to be well, and to commit nothing but the leader's sign of life every ten seconds: with
// each round in the log, the newest commit would never be older than an interval.
func (w *world) idle(t *testing.T) {
	w.await(t, outage, func() error {
		samples, err := w.metrics(w.leader(t))
		if age := samples["understudy_raft_commit_age_seconds"]; err == nil && age < 5 {
			err = fmt.Errorf("the newest commit is %v s old", age)
		}
		return err
	})
	for _, d := range w.g.Dogs {
		for _, path := range []string{"/livez", "/readyz", "/healthz"} {
			if code, body, err := get(d, path); err != nil || code != http.StatusOK {
				t.Errorf("%s of %s: %d %s %v", path, d.Name, code, body, err)
			}
		}
	}
	for name, want := range map[string]float64{
		`understudy_origin_up{stream="ORDERS"}`: 1, `understudy_state{state="healthy",stream="ORDERS"}`: 1,
		`understudy_eligible_mirrors{stream="ORDERS"}`: 1, `understudy_outage_seconds{stream="ORDERS"}`: 0,
		`understudy_outage_threshold_seconds{stream="ORDERS"}`: 20, `understudy_loss_limit_messages{stream="ORDERS"}`: 10000,
		`understudy_estimated_loss_messages{stream="ORDERS"}`: 0, `understudy_mirror_behind_messages{mirror="ORDERS_WEST",site="west",stream="ORDERS"}`: 0,
		`understudy_raft_leader`: 1, `understudy_raft_quorum`: 1,
	} {
		w.awaitMetric(t, name, want)
	}
	samples, err := w.metrics(w.leader(t))
	if list := lacking(samples, "decisions_total", "would_have_failed_over_total", "probe_seconds_count", "dual_capture_seconds", "held", "build_info"); err != nil || len(list) > 0 {
		t.Errorf("the leader has no metrics %v: %v", list, err)
	}
	// A follower's copy of the log stands still while all is well: it says nothing of the streams.
	ofLeader := []string{"state", "origin_up", "outage_seconds", "would_have_failed_over_total"}
	samples, err = w.metrics(w.follower(t))
	if list := lacking(samples, append(ofLeader, "raft_leader", "held")...); err != nil || !slices.Equal(list, ofLeader) {
		t.Errorf("a follower has no metrics %v, want it to lack %v: %v", list, ofLeader, err)
	}
	if v := w.metric(t, w.leader(t), `understudy_mirror_last_contact_seconds{mirror="ORDERS_WEST",site="west",stream="ORDERS"}`); v < 0 || v > 5 {
		t.Errorf("the mirror heard from its origin %v s ago", v)
	}
}

func (w *world) quorumLost(t *testing.T) {
	if err := w.lab.Site("east").Kill(); err != nil {
		t.Fatal(err)
	}
	lost := func(st api.StreamStatus) bool { return st.Reason.Code == policy.MetaQuorumLost }
	w.awaitStatus(t, outage, "ORDERS", lost)
	resp := w.do(t, w.follower(t), api.Request{Verb: api.VerbFailover, Stream: "ORDERS", AllowLoss: true})
	if resp.Outcome != api.OutcomeRefused || resp.Reason.Code != policy.MetaQuorumLost {
		t.Errorf("failover on request: %+v, want refused, meta_quorum_lost", resp)
	}
	// NATS may take longer than the threshold to notice that its quorum is lost: an attempt may then have begun, and waits
	// at its fence. Nothing may be promoted.
	if st := w.awaitStatus(t, soon, "ORDERS", lost); st.Attempt != nil && st.Attempt.PromoteOpened || st.Primary.Site != "east" {
		t.Errorf("promoted without a meta quorum: %+v", st)
	}
	if err := w.lab.Site("east").Restart(w.ctx); err != nil {
		t.Fatal(err)
	}
	w.awaitState(t, outage, "ORDERS", api.StateHealthy, policy.Healthy)
}
