package consumers_test

import (
	"testing"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/consumers"
)

// refusable prepares a consumer, and then wants it where the server will not put it: before its own start sequence.
func refusable(t *testing.T, name string) (*rig, consumers.Target, policy.Consumer, consumers.Prepared) {
	t.Helper()
	r := onServer(t, embedded(t).ClientURL(), name)
	r.publish(t, "east", 20)
	r.consumer(t, "APP", `"deliver_policy":"by_start_sequence","opt_start_seq":7,"ack_policy":"explicit"`)
	r.settle(t)
	snap := r.take(t)
	target := r.target(t, r.promote(t))
	p := only(t, target, snap)
	if p.How != policy.ConsumerCreated || p.From != 7 {
		t.Fatalf("prepared: %+v", p)
	}
	p.From, p.Reset = 3, true
	return r, target, snap.Consumers[0], p
}

func TestRefusedResetIsReplaced(t *testing.T) {
	r, target, c, p := refusable(t, "REFUSED")
	results, err := target.Reset(within(t), []consumers.Prepared{p})
	if err != nil || results[0] != consumers.ResetRefused {
		t.Fatalf("reset: %v, %v", results, err)
	}
	if seen, err := target.Seen(within(t), p); err != nil || seen {
		t.Errorf("read back: %v, %v", seen, err)
	}
	p = target.Replace(within(t), c, p)
	if p.Err != nil || p.How != policy.ConsumerStartSequence || p.From != 3 || p.Reset {
		t.Fatalf("replaced: %+v", p)
	}
	if seen, err := target.Seen(within(t), p); err != nil || !seen {
		t.Errorf("read back: %v, %v", seen, err)
	}
	r.bind(t)
	must(t, consumers.Release(within(t), r.conn["west"], r.mirror.Stream, []policy.Consumer{c}))
	if again := target.Replace(within(t), c, p); again.How != policy.ConsumerExisting {
		t.Errorf("replaced after its release: %+v", again)
	}
	if all := r.pull(t, "west", r.mirror.Stream, "APP", 18); all[0].seq != 3 {
		t.Errorf("it goes on at %d", all[0].seq)
	}
}

// TestOldServerIsNotReset asks servers that would never answer nothing.
func TestOldServerIsNotReset(t *testing.T) {
	r, target, _, p := refusable(t, "OLD")
	target.Level = 3
	p.From = 9 // which this server would take
	results, err := target.Reset(within(t), []consumers.Prepared{p})
	if err != nil || results[0] != consumers.ResetRefused {
		t.Errorf("reset: %v, %v", results, err)
	}
	if info := r.info(t, "west", r.mirror.Stream, "APP"); info.Delivered.Stream != 6 {
		t.Errorf("it was put at %d", info.Delivered.Stream+1)
	}
}

// TestUnknownReset loses the connection before the answer.
func TestUnknownReset(t *testing.T) {
	r, target, _, p := refusable(t, "UNKNOWN")
	p.From = 9
	target.Conn.Close()
	results, err := target.Reset(within(t), []consumers.Prepared{p})
	if err == nil || results[0] != consumers.ResetUnknown {
		t.Errorf("reset: %v, %v", results, err)
	}
	target.Conn = watch(t, r.nc["west"].ConnectedUrl())
	if seen, err := target.Seen(within(t), p); err != nil || seen {
		t.Errorf("read back: %v, %v", seen, err)
	}
	if _, err := target.Conn.ResetConsumer(within(t), r.mirror.Stream, "APP", 9); err != nil { // the late copy
		t.Fatal(err)
	}
	if seen, err := target.Seen(within(t), p); err != nil || !seen {
		t.Errorf("read back: %v, %v", seen, err)
	}
}
