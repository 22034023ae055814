package watchdog_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/natslab"
)

// bare is an unguarded stream and its mirror, switched over by the fewest calls that lose nothing: park the primary,
// poll until the mirror has the last of it, and promote that with the subjects in one update. It is what a switchover's
// gap is measured by.
type bare struct {
	w        *world
	name     string
	replicas int
	site     string // of the primary
}

func (w *world) newBare(t *testing.T, name string, replicas int) *bare {
	t.Helper()
	b := &bare{w: w, name: name, replicas: replicas, site: "east"}
	c := b.config("east")
	c.Subjects = []string{subject(name) + ".>"}
	b.create(t, "east", c)
	b.mirror(t, "west", "east")
	return b
}

func (b *bare) stream(site string) string { return b.name + "_" + site }

func (b *bare) config(site string) jetstream.StreamConfig {
	c := jetstream.StreamConfig{Name: b.stream(site), Replicas: b.replicas}
	if b.w.lab.Topology() != natslab.Domains {
		c.Placement = &jetstream.Placement{Cluster: site}
	}
	return c
}

func (b *bare) create(t *testing.T, site string, c jetstream.StreamConfig) {
	t.Helper()
	b.w.await(t, soon, func() error { return b.w.ask(site, "STREAM.CREATE."+c.Name, c, nil) })
}

// mirror makes the stream at a site a mirror of that at another.
func (b *bare) mirror(t *testing.T, site, of string) {
	t.Helper()
	c := b.config(site)
	c.Mirror = &jetstream.StreamSource{Name: b.stream(of)}
	if b.w.lab.Topology() == natslab.Domains {
		c.Mirror.External = &jetstream.ExternalStream{APIPrefix: "$JS." + of + ".API"}
	}
	b.create(t, site, c)
}

// switchOver is the measured part. The configs are read before.
func (b *bare) switchOver(t *testing.T) {
	t.Helper()
	from, to := b.site, b.other()
	parked, promoted := b.w.mustInfo(t, from, b.stream(from)).Config, b.w.mustInfo(t, to, b.stream(to)).Config
	subjects := parked["subjects"]
	set(parked, "subjects", []string{policy.ParkSubject(policy.MemberID{Site: from, Stream: b.stream(from)})})
	promoted["subjects"] = subjects
	delete(promoted, "mirror")
	delete(promoted, "mirror_direct")

	b.must(t, from, parked)
	last := b.last(t, from)
	for b.last(t, to) < last {
		if b.w.ctx.Err() != nil {
			t.Fatal("the mirror does not get the last messages")
		}
	}
	b.must(t, to, promoted)
	b.site = to
}

func (b *bare) other() string { return map[string]string{"east": "west", "west": "east"}[b.site] }

func (b *bare) must(t *testing.T, site string, c map[string]json.RawMessage) {
	t.Helper()
	if err := b.w.ask(site, "STREAM.UPDATE."+b.stream(site), c, nil); err != nil {
		t.Fatal(err)
	}
}

func (b *bare) last(t *testing.T, site string) uint64 {
	t.Helper()
	i, err := b.w.info(site, b.stream(site))
	if err != nil {
		t.Fatal(err)
	}
	return i.State.LastSeq
}

// rebuild makes the former primary a mirror of the new one, and waits until it has all.
func (b *bare) rebuild(t *testing.T) {
	t.Helper()
	old := b.other()
	b.w.await(t, soon, func() error { return b.w.ask(old, "STREAM.DELETE."+b.stream(old), noBody{}, nil) })
	b.mirror(t, old, b.site)
	b.w.await(t, soon, func() error {
		if has, want := b.last(t, old), b.last(t, b.site); has < want {
			return fmt.Errorf("%s at %s has %d of %d", b.name, old, has, want)
		}
		return nil
	})
}
