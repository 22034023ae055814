package consumers_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/consumers"
)

// The shape of every case: messages before the consumer is made, after that, and after the failover.
const (
	older = 20
	newer = 100
	after = 10
)

// beginnings are the deliver policies; first is the first message that each has to deliver.
var beginnings = []struct {
	name, config string
	first        uint64
	resets       bool // the server allows a reset
}{
	{"all", `"deliver_policy":"all"`, 1, true},
	{"last", `"deliver_policy":"last"`, older, false},
	{"new", `"deliver_policy":"new"`, older + 1, false},
	{"by_start_sequence", `"deliver_policy":"by_start_sequence","opt_start_seq":7`, 7, true},
	{"by_start_time", `"deliver_policy":"by_start_time","opt_start_time":%q`, 9, true},
	{"last_per_subject", `"deliver_policy":"last_per_subject","filter_subject":"$S.>"`, older - 3, false},
}

// TestCarry takes every kind of consumer through a failover, in the middle of its work.
func TestCarry(t *testing.T) {
	url := embedded(t).ClientURL()
	for _, b := range beginnings {
		for _, ack := range []string{"none", "all", "explicit"} {
			for _, mode := range []string{"pull", "push"} {
				name := strings.Join([]string{b.name, ack, mode}, "-")
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					r := onServer(t, url, name)
					work := r.begin(t, b.config, ack, mode, older+newer-int(b.first)+1)
					work.carry(t, b.resets, b.first)
				})
			}
		}
	}
}

// work is one consumer and what was done with its messages.
type work struct {
	r         *rig
	ack, mode string
	delivered map[uint64]bool
	processed map[uint64]bool
	floor     uint64 // all that was delivered up to here is processed
}

// begin makes the consumer and lets it do a part of its work: 51 acknowledgements above the floor, some missing.
func (r *rig) begin(t *testing.T, config, ack, mode string, due int) *work {
	t.Helper()
	r.publish(t, "east", older)
	if strings.Contains(config, "%q") {
		config = fmt.Sprintf(config, r.timeOf(t, 9).Format(time.RFC3339Nano))
	}
	config = strings.ReplaceAll(config, "$S", r.subject) + fmt.Sprintf(`,"ack_policy":%q`, ack)
	if ack != "none" {
		config += `,"ack_wait":600000000000,"max_ack_pending":500`
	}
	w := &work{r: r, ack: ack, mode: mode, delivered: map[uint64]bool{}, processed: map[uint64]bool{}}
	var sub *nats.Subscription
	if mode == "push" {
		config += fmt.Sprintf(`,"deliver_subject":"to.%s"`, r.origin.Stream)
		sub = r.subscribe(t, "east")
	}
	r.consumer(t, "APP", config)
	r.publish(t, "east", newer)
	if mode == "push" {
		w.process(t, w.pushed(t, sub, due))
		if err := sub.Unsubscribe(); err != nil {
			t.Fatal(err)
		}
	} else {
		w.process(t, r.pull(t, "east", r.origin.Stream, "APP", due-20))
	}
	r.settle(t)
	return w
}

// timeOf is when the origin stored a message.
func (r *rig) timeOf(t *testing.T, seq uint64) time.Time {
	t.Helper()
	js, err := r.nc["east"].JetStream()
	if err != nil {
		t.Fatal(err)
	}
	m, err := js.GetMsg(r.origin.Stream, seq)
	if err != nil {
		t.Fatal(err)
	}
	return m.Time
}

// subscribe takes what the consumer pushes, as long as that does not end.
func (r *rig) subscribe(t *testing.T, site string) *nats.Subscription {
	t.Helper()
	sub, err := r.nc[site].SubscribeSync("to." + r.origin.Stream)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.nc[site].Flush(); err != nil {
		t.Fatal(err)
	}
	return sub
}

func (w *work) pushed(t *testing.T, sub *nats.Subscription, n int) []*got {
	t.Helper()
	var all []*got
	for len(all) < n {
		m, err := sub.NextMsg(soon)
		if err != nil {
			t.Fatalf("%d of %d pushed: %v", len(all), n, err)
		}
		meta, err := m.Metadata()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, &got{seq: meta.Sequence.Stream, ack: func() error { return m.AckSync(nats.AckWait(soon)) }})
	}
	return all
}

// process acknowledges 15, leaves one, acknowledges 51, and leaves the rest.
func (w *work) process(t *testing.T, all []*got) {
	t.Helper()
	for i, g := range all {
		w.delivered[g.seq] = true
		switch w.ack {
		case "none":
			w.processed[g.seq], w.floor = true, g.seq
		case "all":
			if i < 15 {
				w.processed[g.seq], w.floor = true, g.seq
			}
			if i == 14 {
				must(t, g.ack())
			}
		case "explicit":
			if i < 15 || i > 15 && i <= 15+51 {
				w.processed[g.seq] = true
				must(t, g.ack())
			}
			if i < 15 {
				w.floor = g.seq
			}
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// carry does what a failover does, and checks what the application meets then.
func (w *work) carry(t *testing.T, resets bool, first uint64) {
	t.Helper()
	r := w.r
	snap := r.take(t)
	target := r.target(t, r.promote(t))
	prepared := target.Prepare(within(t), snap.Consumers)
	if len(prepared) != 1 || prepared[0].Err != nil || prepared[0].How == policy.ConsumerFailed {
		t.Fatalf("prepared: %+v", prepared)
	}
	p := prepared[0]
	if want := w.floor + 1; p.From != want {
		t.Errorf("it goes on at %d, want %d", p.From, want)
	}
	if p.Reset != resets {
		t.Errorf("reset: got %v, want %v (%+v)", p.Reset, resets, p)
	}
	results, err := target.Reset(within(t), prepared)
	if err != nil || results[0] != consumers.ResetDone {
		t.Fatalf("reset: %v, %v", results, err)
	}
	if seen, err := target.Seen(within(t), p); err != nil || !seen {
		t.Errorf("read back: %v, %v", seen, err)
	}
	var sub *nats.Subscription
	if w.mode == "push" {
		sub = r.subscribe(t, "west")
	}
	r.bind(t)
	r.publish(t, "west", after)
	if info := r.info(t, "west", r.mirror.Stream, "APP"); info.Delivered.Consumer != 0 || !info.Paused {
		t.Errorf("before its release it delivered %d, paused %v", info.Delivered.Consumer, info.Paused)
	}
	must(t, consumers.Release(within(t), r.conn["west"], r.mirror.Stream, snap.Consumers))
	w.check(t, p, w.rest(t, sub, p), first)
}

// rest takes all that comes at the new primary.
func (w *work) rest(t *testing.T, sub *nats.Subscription, p consumers.Prepared) []*got {
	t.Helper()
	n := int(uint64(older+newer+after) - p.From + 1)
	if w.mode == "push" {
		return w.pushed(t, sub, n)
	}
	return w.r.pull(t, "west", w.r.mirror.Stream, "APP", n)
}

func (w *work) check(t *testing.T, p consumers.Prepared, all []*got, first uint64) {
	t.Helper()
	came, again := map[uint64]bool{}, uint64(0)
	for _, g := range all {
		if came[g.seq] {
			t.Errorf("%d came twice", g.seq)
		}
		came[g.seq] = true
		if w.processed[g.seq] {
			again++
			if g.seq <= w.floor {
				t.Errorf("%d is below the floor of %d", g.seq, w.floor)
			}
		}
	}
	for seq := first; seq <= older+newer+after; seq++ {
		if !w.processed[seq] && !came[seq] {
			t.Errorf("%d was missed", seq)
		}
	}
	want := uint64(0)
	if w.ack == "explicit" {
		want = 51
	}
	if again != want || p.MayRedeliver != want {
		t.Errorf("%d came again, %d were announced, want %d", again, p.MayRedeliver, want)
	}
	if info := w.r.info(t, "west", w.r.mirror.Stream, "APP"); info.NumPending != 0 {
		t.Errorf("%d are left", info.NumPending)
	}
}
