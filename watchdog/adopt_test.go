package watchdog_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/natslab"
)

// TestAdopt changes streams by hand, loses the watchdogs' stores, and has what is there taken over; the next failover
// must then be as any other.
func TestAdopt(t *testing.T) {
	t.Parallel()
	w := start(t, setup{streams: []stream{{name: "GONE", mode: "manual"}, {name: "HAND", mode: "manual"}, {name: "LOST", onlyWest: true}}})
	a := adopting{w: w}
	t.Run("deleted", a.deleted)
	t.Run("promoted-by-hand", a.promoted)
	t.Run("stores-lost", a.storesLost)
	t.Run("returned", a.returned)
	t.Run("next-failover", a.next)
}

type adopting struct{ w *world }

// adopt asks any watchdog to take a stream over, and wants it done.
func (a adopting) adopt(t *testing.T, name string, primary policy.MemberID) policy.Adoption {
	t.Helper()
	resp := a.w.do(t, a.w.follower(t), api.Request{Verb: api.VerbAdopt, Stream: name})
	if resp.Outcome != api.OutcomeDone || resp.Adoption == nil || resp.Adoption.Primary != primary {
		t.Fatalf("adopt %s: %+v %+v, want %s as the primary", name, resp, resp.Adoption, primary)
	}
	return *resp.Adoption
}

// promote makes a mirror a stream of its own as a person does, with the subjects of the guarded stream.
func (a adopting) promote(t *testing.T, site, guarded string) {
	t.Helper()
	a.w.update(t, site, mirrorName(guarded, site), func(c map[string]json.RawMessage) {
		delete(c, "mirror")
		set(c, "mirror_direct", false)
		set(c, "subjects", []string{subject(guarded) + ".>"})
	})
}

// remake deletes a stream and makes it anew as a mirror of another, at another site.
func (a adopting) remake(t *testing.T, site, name, of, ofSite string) {
	t.Helper()
	if err := a.w.ask(site, "STREAM.DELETE."+name, noBody{}, nil); err != nil && !strings.Contains(err.Error(), "not found") {
		t.Fatal(err)
	}
	c := jetstream.StreamConfig{Name: name, Replicas: 1, Mirror: &jetstream.StreamSource{Name: of}}
	if a.w.lab.Topology() == natslab.Domains {
		c.Mirror.External = &jetstream.ExternalStream{APIPrefix: "$JS." + ofSite + ".API"}
	}
	a.w.await(t, soon, func() error { return a.w.ask(site, "STREAM.CREATE."+name, c, nil) })
}

// deleted deletes an origin: nothing takes its subjects over until a person says what does.
func (a adopting) deleted(t *testing.T) {
	events := a.w.subscribe(t, "eu")
	if err := a.w.ask("east", "STREAM.DELETE.GONE", noBody{}, nil); err != nil {
		t.Fatal(err)
	}
	st := a.w.awaitState(t, soon, "GONE", api.StateSuspect, policy.OriginDeleted)
	if !strings.Contains(st.Reason.Text, "understudy adopt GONE") {
		t.Errorf("the reason does not name the remedy: %s", st.Reason.Text)
	}
	resp := a.w.do(t, a.w.follower(t), api.Request{Verb: api.VerbAdopt, Stream: "GONE"})
	if resp.Outcome != api.OutcomeRefused || !strings.Contains(resp.Reason.Text, "--primary") {
		t.Errorf("adopt without any primary: %+v, want it refused", resp)
	}
	a.promote(t, "west", "GONE")
	a.remake(t, "eu", "GONE_EU", "GONE_WEST", "west")
	resp = a.w.do(t, a.w.leader(t), api.Request{Verb: api.VerbAdopt, Stream: "GONE", DryRun: true})
	if resp.Outcome != api.OutcomeDone || resp.Adoption == nil || resp.Adoption.Primary.Site != "west" {
		t.Fatalf("a dry run of adopt: %+v %+v", resp, resp.Adoption)
	}
	if st, err := a.w.status("GONE"); err != nil || st.Epoch != 0 || st.Primary.Site != "east" {
		t.Errorf("the dry run changed something: %+v %v", st, err)
	}
	a.adopt(t, "GONE", policy.MemberID{Site: "west", Stream: "GONE_WEST"})
	a.w.awaitState(t, soon, "GONE", api.StateHealthy, policy.Healthy)
	if e := events.await(t, "adopted", "GONE"); e.Epoch != 1 {
		t.Errorf("the adoption was told with epoch %d, want 1", e.Epoch)
	}
	if ack := a.w.publish(t, "eu", "GONE", 1); ack.Stream != "GONE_WEST" {
		t.Errorf("a publish was taken by %s", ack.Stream)
	}
}

// promoted has a person fail a stream over while its origin is down, past Understudy.
func (a adopting) promoted(t *testing.T) {
	a.w.loseEast(t)
	a.w.awaitState(t, outage, "HAND", api.StateDown, policy.AwaitingApproval)
	a.promote(t, "west", "HAND")
	a.w.awaitState(t, soon, "HAND", api.StateDown, policy.ChangedOutside)
	a.adopt(t, "HAND", policy.MemberID{Site: "west", Stream: "HAND_WEST"})
	a.w.awaitState(t, soon, "HAND", api.StateFailedOver, policy.Healthy)
	if err := a.w.bound("west", "HAND_WEST", "HAND"); err != nil {
		t.Error(err)
	}
	a.w.awaitState(t, outage, "LOST", api.StateFailedOver, policy.Healthy)
}

// storesLost wipes all that the watchdogs know, after a failover of theirs and one by hand.
func (a adopting) storesLost(t *testing.T) {
	for _, d := range a.w.g.Dogs {
		if err := d.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := d.LoseStore(); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range a.w.g.Dogs {
		a.w.restart(t, d)
	}
	for name, code := range map[string]policy.Code{"LOST": policy.StateLost, "HAND": policy.ChangedOutside, "GONE": policy.ChangedOutside} {
		a.w.awaitStatus(t, soon, name, func(st api.StreamStatus) bool { return st.Reason.Code == code })
		plan := a.adopt(t, name, policy.MemberID{Site: "west", Stream: mirrorName(name, "west")})
		if name == "LOST" && plan.Epoch != 2 { // the mark was of epoch 1
			t.Errorf("LOST is adopted with epoch %d, want 2", plan.Epoch)
		}
		a.w.awaitState(t, soon, name, api.StateFailedOver, policy.Healthy)
	}
}

// returned brings the old origins back: they are fenced, whoever had replaced them.
func (a adopting) returned(t *testing.T) {
	if err := a.w.lab.Site("east").Restart(a.w.ctx); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"LOST", "HAND"} {
		a.w.await(t, soon, func() error { return a.w.parked("east", name) })
		a.w.awaitState(t, soon, name, api.StateReturned, policy.Healthy)
	}
	a.remake(t, "east", "HAND", "HAND_WEST", "west")
	a.w.awaitStatus(t, soon, "HAND", func(st api.StreamStatus) bool { return st.Reason.Code == policy.ChangedOutside })
	a.adopt(t, "HAND", policy.MemberID{Site: "west", Stream: "HAND_WEST"})
	a.w.awaitState(t, soon, "HAND", api.StateHealthy, policy.Healthy)
}

// next loses the adopted primaries' site, and wants failovers as any other.
func (a adopting) next(t *testing.T) {
	targets := map[string]policy.MemberID{"HAND": {Site: "east", Stream: "HAND"}, "GONE": {Site: "eu", Stream: "GONE_EU"}}
	for name, id := range targets {
		a.w.awaitStatus(t, soon, name, func(st api.StreamStatus) bool { return eligible(st, id) })
	}
	if err := a.w.lab.Site("west").Kill(); err != nil {
		t.Fatal(err)
	}
	for name, id := range targets {
		a.w.awaitState(t, outage, name, api.StateDown, policy.AwaitingApproval)
		if resp := a.w.do(t, a.w.follower(t), api.Request{Verb: api.VerbApprove, Stream: name}); resp.Outcome != api.OutcomeDone {
			t.Fatalf("approve %s: %+v", name, resp)
		}
		a.w.awaitState(t, soon, name, api.StateFailedOver, "")
		if err := a.w.bound(id.Site, id.Stream, name); err != nil {
			t.Error(err)
		}
	}
	a.w.await(t, soon, func() error {
		if n := a.w.count(t, "HAND", "adopted"); n != 2 { // since the stores were lost
			return fmt.Errorf("HAND was adopted %d times, says the history", n)
		}
		return nil
	})
}

func eligible(st api.StreamStatus, id policy.MemberID) bool {
	for _, m := range st.Members {
		if m.Site == id.Site && m.Stream == id.Stream {
			return m.Eligible
		}
	}
	return false
}
