package watchdog_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/natslab"
)

// TestEvidence shows the group what looks like an outage and is none, and then one that its leader cannot act upon.
func TestEvidence(t *testing.T) {
	t.Parallel()
	w := start(t, setup{streams: []stream{
		{name: "SEEN", onlyWest: true}, {name: "GONE"}, {name: "ANEW"}, {name: "TAKEN"},
	}})
	e := evidence{w: w}
	t.Run("seen-up-by-one", e.seenUp)
	t.Run("mirror-receiving", e.receiving)
	t.Run("credentials", e.credentials)
	t.Run("no-quorum", e.noQuorum)
	t.Run("deleted", e.deleted)
	t.Run("recreated", e.recreated)
	t.Run("promoted-by-hand", e.promoted)
	t.Run("leader-without-target", e.handOver)
}

type evidence struct{ w *world }

// cut severs what the watchdogs and their NATS logins see of another site. The leafnodes, which carry the mirrors, go
// through the hub.
func (w *world) cut(t *testing.T, a, b string, how natslab.LinkState) {
	t.Helper()
	if err := w.lab.CutPair(a, b, how); err != nil {
		t.Fatal(err)
	}
}

func (e evidence) seenUp(t *testing.T) {
	if err := e.w.g.MoveLeader(e.w.ctx, "wd-eu"); err != nil {
		t.Fatal(err)
	}
	e.w.cut(t, "east", "west", natslab.BlackHole)
	e.w.awaitStatus(t, soon, "SEEN", func(st api.StreamStatus) bool {
		v := verdicts(st)
		return st.State == api.StateSuspect && st.Reason.Code == policy.SeenUpBy && v["wd-west"] == policy.Down && v["wd-eu"] == policy.Up
	})
	e.w.throughout(t, awhile, func() error {
		st, err := e.w.status("SEEN")
		if err == nil && st.OutageMS != 0 {
			err = fmt.Errorf("the outage grew to %d ms", st.OutageMS)
		}
		return err
	})
	e.w.cut(t, "east", "west", natslab.Open)
	e.w.awaitState(t, soon, "SEEN", api.StateHealthy, policy.Healthy)
}

func verdicts(st api.StreamStatus) map[string]policy.Verdict {
	v := map[string]policy.Verdict{}
	for _, o := range st.Observers {
		v[o.Node] = o.Verdict
	}
	return v
}

// receiving cuts the watchdogs of two sites off from the third: they are a majority and see the origin down, past its
// threshold, while their mirrors still hear it.
func (e evidence) receiving(t *testing.T) {
	e.w.cut(t, "east", "west", natslab.BlackHole)
	e.w.cut(t, "east", "eu", natslab.BlackHole)
	st := e.w.awaitState(t, outage, "SEEN", api.StateDown, policy.MirrorReceiving)
	if st.OutageMS < 5000 {
		t.Errorf("down after %d ms", st.OutageMS)
	}
	for _, site := range []string{"west", "eu"} {
		if err := e.w.isMirror(site, mirrorName("SEEN", site)); err != nil {
			t.Error(err)
		}
	}
	e.w.cut(t, "east", "west", natslab.Open)
	e.w.cut(t, "east", "eu", natslab.Open)
	st = e.w.awaitState(t, soon, "SEEN", api.StateHealthy, policy.Healthy)
	if st.Epoch != 0 {
		t.Errorf("epoch %d, want 0", st.Epoch)
	}
}

// credentials has the origin's site refuse every watchdog.
func (e evidence) credentials(t *testing.T) {
	if err := e.w.lab.Site("east").SetPassword(e.w.ctx, "another"); err != nil {
		t.Fatal(err)
	}
	e.w.awaitStatus(t, soon, "SEEN", func(st api.StreamStatus) bool {
		return st.Reason.Code == policy.Blind && !slices.ContainsFunc(st.Observers, func(o api.ObserverStatus) bool {
			return o.Verdict != policy.Unknown || o.Evidence != policy.AuthError
		})
	})
	e.w.throughout(t, awhile, func() error {
		st, err := e.w.status("SEEN")
		if err == nil && (st.OutageMS > 0 || st.State != api.StateUnknown) {
			err = fmt.Errorf("%s, outage %d ms: %s", st.State, st.OutageMS, st.Reason)
		}
		return err
	})
	if err := e.w.lab.Site("east").SetPassword(e.w.ctx, natslab.AppPassword); err != nil {
		t.Fatal(err)
	}
	e.w.awaitState(t, soon, "SEEN", api.StateHealthy, policy.Healthy)
	e.w.conns["east"].Close() // refused too often, it gave up
	delete(e.w.conns, "east")
}

// noQuorum leaves one watchdog of three.
func (e evidence) noQuorum(t *testing.T) {
	for _, name := range []string{"wd-east", "wd-west"} {
		if err := e.w.g.Dog(name).Kill(); err != nil {
			t.Fatal(err)
		}
	}
	left := e.w.g.Dog("wd-eu")
	e.w.await(t, soon, func() error {
		st, err := left.Client().Status(e.w.ctx)
		if err != nil {
			return err
		}
		if s, _ := st.Stream("SEEN"); st.Quorum || s.State != api.StateUnknown || s.Reason.Code != policy.NoQuorum {
			return fmt.Errorf("quorum %v, %s %s", st.Quorum, s.State, s.Reason)
		}
		return nil
	})
	if code, body, err := get(left, "/readyz"); err != nil || code != http.StatusServiceUnavailable {
		t.Errorf("/readyz without quorum: %d %s %v", code, body, err)
	}
	if code, body, err := get(left, "/livez"); err != nil || code != http.StatusOK {
		t.Errorf("/livez without quorum: %d %s %v", code, body, err)
	}
	if v := e.w.metric(t, left, "understudy_raft_quorum"); v != 0 {
		t.Errorf("raft_quorum is %v", v)
	}
	for _, name := range []string{"wd-east", "wd-west"} {
		e.w.restart(t, e.w.g.Dog(name))
	}
	e.w.awaitState(t, soon, "SEEN", api.StateHealthy, policy.Healthy)
}

func (e evidence) deleted(t *testing.T) {
	if err := e.w.ask("east", "STREAM.DELETE.GONE", noBody{}, nil); err != nil {
		t.Fatal(err)
	}
	e.w.awaitState(t, soon, "GONE", api.StateSuspect, policy.OriginDeleted)
	e.stays(t, "GONE")
}

func (e evidence) recreated(t *testing.T) {
	c := e.w.mustInfo(t, "east", "ANEW").Config
	if err := e.w.ask("east", "STREAM.DELETE.ANEW", noBody{}, nil); err != nil {
		t.Fatal(err)
	}
	if err := e.w.ask("east", "STREAM.CREATE.ANEW", c, nil); err != nil {
		t.Fatal(err)
	}
	e.w.awaitState(t, soon, "ANEW", api.StateSuspect, policy.OriginRecreated)
	e.stays(t, "ANEW")
}

// stays wants nothing to happen by itself.
func (e evidence) stays(t *testing.T, name string) {
	t.Helper()
	e.w.throughout(t, awhile, func() error {
		st, err := e.w.status(name)
		if err == nil && (st.OutageMS > 0 || st.Epoch > 0) {
			err = fmt.Errorf("outage %d ms, epoch %d", st.OutageMS, st.Epoch)
		}
		return err
	})
	if err := e.w.isMirror("west", mirrorName(name, "west")); err != nil {
		t.Error(err)
	}
}

func (e evidence) promoted(t *testing.T) {
	e.w.update(t, "west", "TAKEN_WEST", func(c map[string]json.RawMessage) {
		delete(c, "mirror")
		set(c, "mirror_direct", false)
		set(c, "subjects", []string{"taken.by.hand"})
	})
	e.w.awaitStatus(t, soon, "TAKEN", func(st api.StreamStatus) bool { return st.Reason.Code == policy.ChangedOutside })
	e.w.throughout(t, awhile, func() error { return e.w.holds("west", "TAKEN_WEST", "taken.by.hand") })
}

// handOver loses the origin's servers while the leader does not reach the only target: a watchdog that does takes over.
func (e evidence) handOver(t *testing.T) {
	if err := e.w.g.MoveLeader(e.w.ctx, "wd-eu"); err != nil {
		t.Fatal(err)
	}
	e.w.cut(t, "eu", "west", natslab.BlackHole)
	began := time.Now()
	if err := e.w.lab.Site("east").Kill(); err != nil {
		t.Fatal(err)
	}
	st := e.w.awaitStatus(t, outage, "SEEN", func(st api.StreamStatus) bool { return st.Primary.Site == "west" })
	t.Logf("failed over after %s", time.Since(began).Round(time.Millisecond))
	if st.Epoch != 1 {
		t.Errorf("epoch %d, want 1", st.Epoch)
	}
	if st.Last == nil || st.Last.Steps == nil {
		t.Fatalf("the attempt is %+v", st.Last)
	}
	if log := e.w.log(t, e.w.g.Dog("wd-eu")); strings.Contains(log, "verify: west/SEEN_WEST") {
		t.Error("wd-eu finished a failover to a site that it does not reach")
	} else if !strings.Contains(log, "does not reach the target; handing over") {
		t.Log("wd-eu had lost its leadership before it could hand it over")
	}
	if err := e.w.bound("west", "SEEN_WEST", "SEEN"); err != nil {
		t.Error(err)
	}
	if st, err := e.w.status("TAKEN"); err != nil || st.Epoch != 0 {
		t.Errorf("TAKEN, which somebody changed: epoch %d, %v", st.Epoch, err)
	}
}
