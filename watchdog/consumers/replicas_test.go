package consumers_test

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/consumers"
	"github.com/understudy-ha/understudy/watchdog/jsapi"
	"github.com/understudy-ha/understudy/watchdog/natslab"
)

// TestReplicas carries consumers of three replicas between sites of three servers, through each site's own domain.
func TestReplicas(t *testing.T) {
	lab, err := natslab.Start(within(t), natslab.Options{Servers: 3})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, lab.Close()) })
	r := inLab(t, lab)
	t.Run("new, nothing acknowledged", r.noFloor)
	for _, b := range beginnings[:3] {
		for _, mode := range []string{"pull", "push"} {
			name := "R3-" + b.name + "-" + mode
			t.Run(name, func(t *testing.T) {
				r := inLab(t, lab)
				r.name(name)
				r.create(t)
				work := r.begin(t, b.config, "explicit", mode, older+newer-int(b.first)+1)
				work.carry(t, b.resets, b.first)
			})
		}
	}
}

// inLab is a rig without streams.
func inLab(t *testing.T, lab *natslab.Lab) *rig {
	t.Helper()
	r := &rig{replicas: 3, storage: "file", external: "$JS.east.API", conn: map[string]*jsapi.Conn{}, nc: map[string]*nats.Conn{}}
	for _, name := range []string{"east", "west"} {
		site := lab.Site(name)
		login := jsapi.Login{Servers: site.URLs(), User: site.User(), Password: site.Password(), Domain: site.Domain}
		conn, err := jsapi.DialOnce(within(t), jsapi.Options{Login: login})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Close)
		nc, err := lab.Connect(within(t), name, name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		r.conn[name], r.nc[name] = conn, nc
	}
	return r
}

// name names the streams.
func (r *rig) name(name string) {
	r.origin = policy.MemberID{Site: "east", Stream: name}
	r.mirror = policy.MemberID{Site: "west", Stream: name + "_M"}
	r.subject = "s." + name
}

// noFloor has a consumer whose floor the server reports as 0, although it began in the middle: it was looked at before.
func (r *rig) noFloor(t *testing.T) {
	r.name("NOFLOOR")
	r.create(t)
	r.publish(t, "east", older)
	r.consumer(t, "APP", `"deliver_policy":"new","ack_policy":"explicit","ack_wait":600000000000`)
	before := r.take(t)
	r.publish(t, "east", 5)
	r.pull(t, "east", r.origin.Stream, "APP", 3)
	after := r.take(t)
	if c := after.Consumers[0]; c.AckFloor != 0 || c.DeliveredCount != 3 || before.Consumers[0].Start != older {
		t.Fatalf("the server reports %+v, before %+v", c, before.Consumers[0])
	}
	r.settle(t)
	frozen, err := consumers.Freeze(within(t), r.conn["east"], r.origin, 1, before.Consumers, 0)
	must(t, err)
	target := r.target(t, r.promote(t))
	p := only(t, target, frozen)
	if p.From != older+1 || p.How != policy.ConsumerStartSequence {
		t.Fatalf("%+v", p)
	}
	r.bind(t)
	must(t, consumers.Release(within(t), r.conn["west"], r.mirror.Stream, frozen.Consumers))
	for i, g := range r.pull(t, "west", r.mirror.Stream, "APP", 5) {
		if want := uint64(older + 1 + i); g.seq != want {
			t.Error(fmt.Errorf("message %d, want %d", g.seq, want))
		}
	}
}
