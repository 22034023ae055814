package watchdog_test

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/natslab"
)

// TestNameAtAnotherSite moves a stream to another site of its domain, with its name: the old origin is made anew there under
// its own name, and a switchover makes it the primary.
func TestNameAtAnotherSite(t *testing.T) {
	w := start(t, setup{topology: natslab.Supercluster, streams: []stream{{name: "NAMED", onlyWest: true}}})
	w.publish(t, "east", "NAMED", 20)
	w.loseEast(t)
	w.awaitState(t, outage, "NAMED", api.StateFailedOver, "")
	w.restoreEast(t)
	w.awaitStatus(t, outage, "NAMED", func(s api.StreamStatus) bool { return waits(s, policy.PhaseArchived) })
	ask := api.Request{Verb: api.VerbRejoin, Stream: "NAMED", Site: "hub"}
	if r := w.do(t, w.follower(t), ask); r.Outcome != api.OutcomeRefused {
		t.Errorf("rejoin at a site that has no member: %+v", r)
	}
	ask.Site = "eu"
	if r := w.do(t, w.follower(t), ask); r.Outcome != api.OutcomeDone {
		t.Fatalf("rejoin at eu: %+v", r)
	}
	w.awaitState(t, outage, "NAMED", api.StateHealthy, policy.Healthy)
	if err := w.livesAt("NAMED", "eu"); err != nil {
		t.Error(err)
	}
	w.switchOver(t, "NAMED", "east") // where the config has it; it answers through any site
	w.awaitState(t, outage, "NAMED", api.StateHealthy, policy.Healthy)
	if err := w.bound("eu", "NAMED", "NAMED"); err != nil {
		t.Error(err)
	}
	if err := w.livesAt("NAMED", "eu"); err != nil {
		t.Error(err)
	}
	if ack := w.publishOnly(t, "west", "NAMED", 1); ack.Stream != "NAMED" {
		t.Errorf("a publish was taken by %s", ack.Stream)
	}
}

// livesAt asks which cluster serves a stream.
func (w *world) livesAt(name, site string) error {
	var i jetstream.StreamInfo
	if err := w.ask("west", "STREAM.INFO."+name, noBody{}, &i); err != nil {
		return err
	}
	if i.Cluster == nil || i.Cluster.Name != site {
		return fmt.Errorf("%s is served by %+v, want %s", name, i.Cluster, site)
	}
	return nil
}
