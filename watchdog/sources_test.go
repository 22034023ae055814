package watchdog_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/natslab"
)

// TestSourcesFollow has streams that source from the origin follow the primary there and back: one that lives on, and takes
// messages of its own as well, and one that dies with the origin and has taken of its tail. No message is missing in them,
// none is there twice.
func TestSourcesFollow(t *testing.T) {
	for _, c := range []struct {
		name     string
		topology natslab.Topology
		replicas int
	}{
		{"domains", natslab.Domains, 1},
		{"supercluster", natslab.Supercluster, 1},
		{"replicated", natslab.Supercluster, 3},
	} {
		if c.replicas > 1 && !whole("TestSourcesFollow") {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			sourcesFollow(t, c.topology, c.replicas)
		})
	}
}

func sourcesFollow(t *testing.T, topology natslab.Topology, replicas int) {
	w := start(t, setup{topology: topology, servers: replicas, streams: []stream{{name: "FED", onlyWest: true, extra: "repoint: auto",
		origin: func(c *jetstream.StreamConfig) { c.AllowDirect = true }}}})
	w.createSourcing(t, "eu", "AGG", func(c *jetstream.StreamConfig) { c.Subjects, c.Replicas = []string{"agg.own"}, replicas })
	w.createSourcing(t, "east", "LOCAL", func(c *jetstream.StreamConfig) {
		c.Replicas = replicas
		c.Sources[0].SubjectTransforms = []jetstream.SubjectTransformConfig{{Source: "fed.>", Destination: "local.>"}}
	})
	fork := w.publish(t, "east", "FED", 20).Sequence
	w.await(t, soon, func() error { return w.answersFor("eu", "FED_EU", "FED", true) })
	w.awaitSourced(t, "eu", "AGG", fork)
	w.cutReplication(t)
	tail := w.publishOnly(t, "east", "FED", 7).Sequence
	w.awaitSourced(t, "east", "LOCAL", tail)
	w.loseEast(t)
	w.healReplication(t)
	w.awaitState(t, outage, "FED", api.StateFailedOver, "")
	last := w.publish(t, "eu", "FED", 5).Sequence
	w.awaitSource(t, "eu", "AGG", "FED_WEST")
	w.publishTo(t, "eu", "agg.own")
	w.awaitSourced(t, "eu", "AGG", last)
	w.sourced(t, "eu", "AGG", last, nil)

	w.restoreEast(t)
	w.awaitStatus(t, outage, "FED", func(s api.StreamStatus) bool { return waits(s, policy.PhaseArchived) })
	w.awaitSource(t, "east", "LOCAL", "FED_WEST")
	last = w.publish(t, "eu", "FED", 9).Sequence
	w.awaitSourced(t, "east", "LOCAL", last)
	w.sourced(t, "east", "LOCAL", last, tailOf(fork, tail))
	if c := w.sourcing(t, "FED", "LOCAL"); len(c.Former) != 1 || c.Former[0].Beyond != 7 || c.Former[0].Start != fork+1 {
		t.Errorf("LOCAL is resumed as %+v, want from %d on, with 7 messages of the tail", c.Former, fork+1)
	}

	if r := w.do(t, w.follower(t), api.Request{Verb: api.VerbRejoin, Stream: "FED"}); r.Outcome != api.OutcomeDone {
		t.Fatalf("rejoin: %+v", r)
	}
	w.awaitState(t, outage, "FED", api.StateHealthy, policy.Healthy)
	// The sibling that was made anew answers direct gets for the new primary, and no longer in the name of the old.
	w.await(t, soon, func() error { return w.answersFor("eu", "FED_EU", "FED_WEST", true) })
	if err := w.answersFor("eu", "FED_EU", "FED", false); err != nil {
		t.Error(err)
	}
	// The rejoined mirror may be healthy before a round has seen its first contact with the new primary.
	back := policy.MemberID{Site: "east", Stream: "FED"}
	w.awaitStatus(t, outage, "FED", func(st api.StreamStatus) bool { return eligible(st, back) })
	w.switchOver(t, "FED", "east")
	w.awaitState(t, outage, "FED", api.StateHealthy, policy.Healthy)
	for name, site := range map[string]string{"AGG": "eu", "LOCAL": "east"} {
		w.awaitSource(t, site, name, "FED")
	}
	last = w.publish(t, "eu", "FED", 3).Sequence
	w.awaitSourced(t, "eu", "AGG", last)
	w.awaitSourced(t, "east", "LOCAL", last)
	w.sourced(t, "eu", "AGG", last, nil)
	w.sourced(t, "east", "LOCAL", last, tailOf(fork, tail))
	w.headersAreKnown(t, "eu", "AGG")
	if got := w.mustInfo(t, "eu", "AGG").subjects(); len(got) != 1 || got[0] != "agg.own" {
		t.Errorf("AGG holds %v in the end", got)
	}
}

// headersAreKnown compares the newest source header of a stream with what the policy makes of its config.
func (w *world) headersAreKnown(t *testing.T, site, name string) {
	t.Helper()
	i := w.mustInfo(t, site, name)
	var sources []json.RawMessage
	i.field(t, "sources", &sources)
	var answer struct {
		Message struct {
			Headers []byte `json:"hdrs"`
		} `json:"message"`
	}
	if err := w.ask(site, "STREAM.MSG.GET."+name, map[string]uint64{"seq": i.State.LastSeq}, &answer); err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(answer.Message.Headers), "Nats-Stream-Source: ")
	f := strings.Fields(rest)
	if got, want := f[0]+" "+f[2]+" "+f[3], policy.SourceIndex(sources[0]); got != want {
		t.Errorf("the server calls the source of %s %q, the policy %q", name, got, want)
	}
}

func tailOf(fork, last uint64) map[uint64]int {
	twice := map[uint64]int{}
	for seq := fork + 1; seq <= last; seq++ {
		twice[seq] = 2
	}
	return twice
}

// createSourcing makes a stream at a site that sources from the origin.
func (w *world) createSourcing(t *testing.T, site, name string, edit func(*jetstream.StreamConfig)) {
	t.Helper()
	c := jetstream.StreamConfig{Name: name, Sources: []*jetstream.StreamSource{{Name: "FED"}}}
	if w.lab.Topology() != natslab.Domains {
		c.Placement = &jetstream.Placement{Cluster: site}
	} else if site != "east" {
		c.Sources[0].External = &jetstream.ExternalStream{APIPrefix: "$JS.east.API"}
	}
	edit(&c)
	w.await(t, soon, func() error { return w.ask(site, "STREAM.CREATE."+name, c, nil) })
}

func (w *world) publishTo(t *testing.T, site, subject string) {
	t.Helper()
	nc, err := w.conn(site)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nc.Request(subject, []byte("own"), soon); err != nil {
		t.Fatal(err)
	}
}

// answersFor says whether a member answers direct gets in a stream's name at its site, as wanted: one of several that are asked
// in turn, the nearest first.
func (w *world) answersFor(site, member, name string, want bool) error {
	nc, err := w.conn(site)
	if err != nil {
		return err
	}
	for range 20 {
		m, err := nc.Request("$JS.API.DIRECT.GET."+name, []byte(`{"seq":1}`), 2*time.Second)
		switch {
		case errors.Is(err, nats.ErrNoResponders):
		case err != nil:
			return err
		case m.Header.Get("Nats-Stream") == member && want:
			return nil
		case m.Header.Get("Nats-Stream") == member:
			return fmt.Errorf("%s answers direct gets of %s", member, name)
		}
	}
	if want {
		return fmt.Errorf("%s answers no direct gets of %s", member, name)
	}
	return nil
}

// awaitSource waits until a stream's only source is another stream.
func (w *world) awaitSource(t *testing.T, site, name, upstream string) {
	t.Helper()
	w.await(t, outage, func() error {
		i, err := w.info(site, name)
		if err != nil {
			return err
		}
		var sources []jetstream.StreamSource
		if raw := i.Config["sources"]; raw != nil {
			if err := json.Unmarshal(raw, &sources); err != nil {
				return err
			}
		}
		if len(sources) != 1 || sources[0].Name != upstream {
			return fmt.Errorf("%s/%s sources from %+v, want %s", site, name, sources, upstream)
		}
		return nil
	})
}

// taken are the origin sequences that a sourcing stream holds, each as often as it does, and the newest.
func (w *world) taken(site, name string) (counts map[uint64]int, newest uint64, err error) {
	nc, err := w.conn(site)
	if err != nil {
		return nil, 0, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, 0, err
	}
	ctx, cancel := context.WithTimeout(w.ctx, 10*time.Second)
	defer cancel()
	s, err := js.Stream(ctx, name)
	if err != nil {
		return nil, 0, err
	}
	counts = map[uint64]int{}
	for seq := uint64(1); seq <= s.CachedInfo().State.LastSeq; seq++ {
		m, err := s.GetMsg(ctx, seq)
		if err != nil {
			return nil, 0, err
		}
		if h := m.Header.Get("Nats-Stream-Source"); h != "" {
			if newest, err = strconv.ParseUint(strings.Fields(h)[1], 10, 64); err != nil {
				return nil, 0, err
			}
			counts[newest]++
		}
	}
	return counts, newest, nil
}

// awaitSourced waits until a stream has taken a sequence as its newest.
func (w *world) awaitSourced(t *testing.T, site, name string, seq uint64) {
	t.Helper()
	w.await(t, outage, func() error {
		_, newest, err := w.taken(site, name)
		if err == nil && newest != seq {
			err = fmt.Errorf("%s/%s took %d last, want %d", site, name, newest, seq)
		}
		return err
	})
}

// sourced wants every sequence up to last to be there once, but for exceptions.
func (w *world) sourced(t *testing.T, site, name string, last uint64, but map[uint64]int) {
	t.Helper()
	counts, _, err := w.taken(site, name)
	if err != nil {
		t.Fatal(err)
	}
	for seq := uint64(1); seq <= last; seq++ {
		want := 1
		if n, ok := but[seq]; ok {
			want = n
		}
		if counts[seq] != want {
			t.Errorf("%s/%s has message %d of the primary %d times, want %d", site, name, seq, counts[seq], want)
		}
	}
}

// sourcing is what the status tells of a stream that sources from a guarded one.
func (w *world) sourcing(t *testing.T, guarded, name string) policy.Sourcing {
	t.Helper()
	s, err := w.status(guarded)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range s.Sourcing {
		if c.Stream.Stream == name {
			return c
		}
	}
	t.Fatalf("%s is not among %+v", name, s.Sourcing)
	return policy.Sourcing{}
}
