package watchdog_test

import (
	"encoding/json"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
)

const messages = 20

// TestSiteLost is the life of three modes through two losses of the origins' site, in separate domains.
func TestSiteLost(t *testing.T) {
	t.Parallel()
	w := start(t, setup{streams: []stream{
		{name: "AUTO", mode: "unattended", onlyWest: true, origin: settings},
		{name: "ALERT", mode: "alert-only"},
		{name: "MANUAL", mode: "manual"},
		{name: "LATER", mode: "manual"},
	}})
	s := siteLost{w: w, events: w.subscribe(t, "west")}
	t.Run("before", s.before)
	t.Run("unattended", s.unattended)
	t.Run("carried", s.carried)
	t.Run("alert-only", s.alertOnly)
	t.Run("manual", s.manual)
	t.Run("returned", s.returned)
	t.Run("events", s.told)
	t.Run("late-writes", s.lateWrites)
	t.Run("by-hand", s.byHand)
	t.Run("signal", s.signal)
}

type siteLost struct {
	w      *world
	events *events
	// wouldHave counts what alert-only kept from happening in the first outage.
	wouldHave uint64
	stored    []string // the messages of AUTO, as the origin had them
}

// settings are an origin's own, which a mirror lacks and a promotion has to carry over.
func settings(c *jetstream.StreamConfig) {
	c.Duplicates, c.AllowDirect, c.MaxAge = 30*time.Second, true, time.Hour
	c.RePublish = &jetstream.RePublish{Source: "auto.>", Destination: "again.>"}
	c.Metadata = map[string]string{"team": "payments"}
}

func (s *siteLost) before(t *testing.T) {
	last := s.w.publish(t, "east", "AUTO", messages)
	for seq := uint64(1); seq <= last.Sequence; seq++ {
		s.stored = append(s.stored, s.w.message(t, "east", "AUTO", seq))
	}
	resp := s.w.do(t, s.w.follower(t), api.Request{Verb: api.VerbApprove, Stream: "MANUAL"})
	if resp.Outcome != api.OutcomeRefused || resp.Reason.Code != policy.Healthy {
		t.Errorf("approval of a healthy stream: %+v, want refused, healthy", resp)
	}
}

// unattended kills the site together with the leader in it, the worst moment: the figure is promise L1's.
func (s *siteLost) unattended(t *testing.T) {
	if err := s.w.g.MoveLeader(s.w.ctx, "wd-east"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	s.w.loseEast(t)
	s.w.awaitState(t, outage, "AUTO", api.StateFailedOver, "")
	took := time.Since(began)
	// threshold 5 s + 2 intervals + 1 s + an election of 1 s is 7.5 s on an idle machine.
	t.Logf("failed over %s after the loss of the site and the leader", took.Round(time.Millisecond))
	if took > 20*time.Second {
		t.Errorf("failed over after %s", took)
	}
	st, err := s.w.status("AUTO")
	if err != nil || st.Epoch != 1 || st.Primary != (policy.MemberID{Site: "west", Stream: "AUTO_WEST"}) {
		t.Errorf("epoch %d, primary %s, %v, want 1, west/AUTO_WEST", st.Epoch, st.Primary, err)
	}
}

// carried compares what a promotion made with what the origin was.
func (s *siteLost) carried(t *testing.T) {
	if err := s.w.bound("west", "AUTO_WEST", "AUTO"); err != nil {
		t.Fatal(err)
	}
	i := s.w.mustInfo(t, "west", "AUTO_WEST")
	var window, age time.Duration
	var again jetstream.RePublish
	direct, mirrorDirect := false, true
	for key, into := range map[string]any{"duplicate_window": &window, "allow_direct": &direct, "mirror_direct": &mirrorDirect, "republish": &again, "max_age": &age} {
		i.field(t, key, into)
	}
	if window != 30*time.Second || !direct || mirrorDirect || again.Destination != "again.>" || age != 0 {
		t.Errorf("window %s, direct %v, mirror_direct %v, republish %+v, max_age %s", window, direct, mirrorDirect, again, age)
	}
	if m := i.metadata(); m["team"] != "payments" || m["understudy.write"] != "1.bind.2" || m["understudy.epoch"] != "1" || m["understudy.watchdog"] == "" {
		t.Errorf("metadata %v", m)
	}
	for n, want := range s.stored {
		if got := s.w.message(t, "west", "AUTO_WEST", uint64(n+1)); got != want {
			t.Errorf("message %d is %s, the origin had %s", n+1, got, want)
		}
	}
	if ack := s.w.publish(t, "west", "AUTO", 1); ack.Stream != "AUTO_WEST" || ack.Sequence != uint64(len(s.stored)+1) {
		t.Errorf("next message: %+v, want %d in AUTO_WEST", ack, len(s.stored)+1)
	}
}

func (s *siteLost) alertOnly(t *testing.T) {
	first := s.w.awaitStatus(t, outage, "ALERT", func(st api.StreamStatus) bool {
		return st.State == api.StateDown && st.Reason.Code == policy.AlertOnly && st.WouldHave > 0
	})
	s.w.throughout(t, awhile, func() error {
		st, err := s.w.status("ALERT")
		if err == nil && (st.WouldHave != first.WouldHave || st.Epoch != 0) {
			err = fmt.Errorf("would have failed over %d times, then %d, epoch %d", first.WouldHave, st.WouldHave, st.Epoch)
		}
		return err
	})
	s.wouldHave = first.WouldHave
	if first.WouldHave != 1 {
		t.Errorf("would have failed over %d times in one outage", first.WouldHave)
	}
	for _, site := range []string{"west", "eu"} {
		i := s.w.mustInfo(t, site, mirrorName("ALERT", site))
		if !i.mirror() || i.metadata()["understudy.write"] != "" {
			t.Errorf("alert-only wrote to the mirror at %s: %s", site, i.Config)
		}
	}
	s.w.awaitMetric(t, `understudy_would_have_failed_over_total{stream="ALERT"}`, float64(first.WouldHave))
}

func (s *siteLost) manual(t *testing.T) {
	for _, name := range []string{"MANUAL", "LATER"} {
		s.w.awaitState(t, outage, name, api.StateDown, policy.AwaitingApproval)
	}
	resp := s.w.do(t, s.w.follower(t), api.Request{Verb: api.VerbApprove, Stream: "MANUAL"})
	if resp.Outcome != api.OutcomeDone {
		t.Fatalf("approval: %+v", resp)
	}
	st := s.w.awaitState(t, outage, "MANUAL", api.StateFailedOver, "")
	if st.Last == nil || st.Last.Trigger != "approval by test" {
		t.Errorf("the attempt was %+v, want one by approval", st.Last)
	}
	if err := s.w.bound(st.Primary.Site, st.Primary.Stream, "MANUAL"); err != nil {
		t.Error(err)
	}
	if st, err := s.w.status("LATER"); err != nil || st.State != api.StateDown {
		t.Errorf("LATER, which nobody approved, is %s, %v", st.State, err)
	}
}

// returned brings the site back on its store.
func (s *siteLost) returned(t *testing.T) {
	s.w.restoreEast(t)
	s.w.awaitState(t, soon, "AUTO", api.StateReturned, "") // as soon as it answers, fenced or not
	st := s.w.awaitStatus(t, soon, "AUTO", func(st api.StreamStatus) bool {
		return st.State == api.StateReturned && len(st.DualCapture) > 0 && !st.DualCapture[0].Fenced.IsZero()
	})
	if err := s.w.parked("east", "AUTO"); err != nil {
		t.Error(err)
	}
	i, age := s.w.mustInfo(t, "east", "AUTO"), time.Second
	i.field(t, "max_age", &age)
	if meta := i.metadata(); age != 0 || meta["understudy.write"] == "" {
		t.Errorf("the returned origin has max_age %s and metadata %v, want 0 and our stamp", age, meta)
	}
	if len(st.DualCapture) != 1 || st.DualCapture[0].Fenced.Before(st.DualCapture[0].SeenAt) {
		t.Errorf("dual capture %+v, want one, measured", st.DualCapture)
	}
	s.w.awaitMetric(t, `understudy_state{state="returned",stream="AUTO"}`, 1)
	if v := s.w.metric(t, s.w.leader(t), `understudy_dual_capture_seconds{stream="AUTO"}`); v <= 0 || v > 20 {
		t.Errorf("dual_capture_seconds is %v", v)
	}
	before := s.w.mustInfo(t, "east", "AUTO").State.LastSeq
	if ack := s.w.publish(t, "eu", "AUTO", 1); ack.Stream != "AUTO_WEST" {
		t.Errorf("a publish from eu was taken by %s", ack.Stream)
	}
	if after := s.w.mustInfo(t, "east", "AUTO").State.LastSeq; after != before {
		t.Errorf("the fenced origin took a message: %d, then %d", before, after)
	}
	s.w.awaitState(t, soon, "LATER", api.StateHealthy, policy.Healthy)
	resp := s.w.do(t, s.w.leader(t), api.Request{Verb: api.VerbApprove, Stream: "LATER"})
	if resp.Outcome != api.OutcomeRefused || resp.Reason.Code != policy.Healthy {
		t.Errorf("approval after the origin's return: %+v, want refused, healthy", resp)
	}
}

func (s *siteLost) told(t *testing.T) {
	for _, kind := range []string{"origin_down", "decision", "failover_started", "phase_done", "failover_completed", "origin_returned", "origin_fenced"} {
		e := s.events.await(t, kind, "AUTO")
		if e.Type != "io.understudy.event.v1."+kind || e.ID == "" || e.Timestamp.IsZero() || e.Node == "" || e.Reason.Code == "" || e.Reason.Text == "" {
			t.Errorf("%s is not filled in: %+v", kind, e)
		}
	}
	s.events.await(t, "origin_recovered", "LATER")
	s.events.unique(t)
	total := 0.0 // each counted by the watchdog that led
	for _, d := range s.w.g.Dogs {
		samples, err := s.w.metrics(d)
		if err != nil {
			t.Fatal(err)
		}
		total += samples[`understudy_failovers_total{kind="failover",result="completed",stream="AUTO"}`]
	}
	if total != 1 {
		t.Errorf("failovers_total is %v in all, want 1", total)
	}
}

// lateWrites sends, as a deposed leader would, writes that the log knows to be old.
func (s *siteLost) lateWrites(t *testing.T) {
	late := func(site, name, write, subject string) {
		s.w.update(t, site, name, func(c map[string]json.RawMessage) {
			set(c, "subjects", []string{subject})
			set(c, "metadata", map[string]string{"understudy.write": write, "understudy.epoch": "1", "understudy.watchdog": "wd-east"})
		})
	}
	t.Run("promote", func(t *testing.T) {
		late("west", "AUTO_WEST", "1.promote.1", "$devnull.west.AUTO_WEST")
		s.w.await(t, soon, func() error { return s.w.bound("west", "AUTO_WEST", "AUTO") })
	})
	t.Run("unpark", func(t *testing.T) {
		s.w.update(t, "east", "AUTO", func(c map[string]json.RawMessage) {
			set(c, "subjects", []string{"auto.>"})
			delete(c, "metadata") // as it was before any write of ours
		})
		s.w.await(t, soon, func() error { return s.w.parked("east", "AUTO") })
		first := s.w.mustInfo(t, "east", "AUTO").metadata()["understudy.write"]
		late("east", "AUTO", "1.park.3", "auto.>")
		s.w.await(t, soon, func() error { return s.w.parked("east", "AUTO") })
		if again := s.w.mustInfo(t, "east", "AUTO").metadata()["understudy.write"]; again == first {
			t.Errorf("the repair bears the id %s, as the one before", again)
		}
	})
	s.w.awaitState(t, soon, "AUTO", api.StateReturned, policy.Healthy)
	if n := s.w.count(t, "AUTO", "failover_started"); n != 1 {
		t.Errorf("%d failovers, want 1", n)
	}
}

// byHand gives a retired origin its subjects back, keeping our newest stamp as `nats stream edit` does.
func (s *siteLost) byHand(t *testing.T) {
	s.w.update(t, "east", "MANUAL", func(c map[string]json.RawMessage) { set(c, "subjects", []string{"manual.>"}) })
	s.w.awaitStatus(t, soon, "MANUAL", func(st api.StreamStatus) bool { return st.Reason.Code == policy.ChangedOutside })
	s.w.throughout(t, awhile, func() error { return s.w.bound("east", "MANUAL", "MANUAL") })
}

// signal loses the site again, and then asks a follower for what the modes did not do.
func (s *siteLost) signal(t *testing.T) {
	s.w.loseEast(t)
	s.w.awaitStatus(t, outage, "ALERT", func(st api.StreamStatus) bool {
		return st.State == api.StateDown && st.Reason.Code == policy.AlertOnly && st.WouldHave > s.wouldHave
	})
	s.w.awaitState(t, outage, "LATER", api.StateDown, policy.AwaitingApproval)
	d := s.w.follower(t)
	s.w.signal(t, d, syscall.SIGUSR1)
	for _, name := range []string{"ALERT", "LATER"} {
		st := s.w.awaitState(t, soon, name, api.StateFailedOver, "")
		if err := s.w.bound(st.Primary.Site, st.Primary.Stream, name); err != nil {
			t.Error(err)
		}
	}
	s.w.awaitLine(t, soon, d, 0, "signal done", "USR1")
	if st, err := s.w.status("AUTO"); err != nil || st.Epoch != 1 {
		t.Errorf("AUTO, whose primary is up, is at epoch %d, %v", st.Epoch, err)
	}
}
