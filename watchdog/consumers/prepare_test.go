package consumers_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/consumers"
)

// only prepares the one consumer of a snapshot.
func only(t *testing.T, target consumers.Target, snap policy.ConsumerSnapshot) consumers.Prepared {
	t.Helper()
	all := target.Prepare(within(t), snap.Consumers)
	if len(all) != 1 || all[0].Err != nil {
		t.Fatalf("prepared: %+v", all)
	}
	return all[0]
}

// TestKeepsDeliverPolicy has consumers for which the application's own deliver policy leads to the same place, so that it
// can go on updating them.
func TestKeepsDeliverPolicy(t *testing.T) {
	url := embedded(t).ClientURL()
	for _, tc := range []struct {
		name, policy string
		level        int
		process      int // of 10 messages, published after the consumer was made
		want         policy.ConsumerHow
		from         uint64
	}{
		{"new, all processed", "new", 4, 10, policy.ConsumerCreated, 21},
		{"new, one left", "new", 4, 9, policy.ConsumerStartSequence, 20},
		{"new, none processed", "new", 4, 0, policy.ConsumerStartSequence, 11},
		{"last, one left", "last", 4, 10, policy.ConsumerCreated, 20},
		{"last, all processed", "last", 4, 11, policy.ConsumerStartSequence, 21},
		{"all, none processed, old server", "all", 3, 0, policy.ConsumerCreated, 1},
		{"all, old server", "all", 3, 4, policy.ConsumerStartSequence, 5},
		{"all", "all", 4, 4, policy.ConsumerReset, 5},
		{"all, none processed", "all", 4, 0, policy.ConsumerCreated, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := onServer(t, url, strings.NewReplacer(" ", "_", ",", "").Replace(tc.name))
			r.publish(t, "east", 10)
			r.consumer(t, "APP", fmt.Sprintf(`"deliver_policy":%q,"ack_policy":"explicit","ack_wait":600000000000`, tc.policy))
			r.publish(t, "east", 10)
			if tc.process > 0 {
				for _, g := range r.pull(t, "east", r.origin.Stream, "APP", tc.process) {
					must(t, g.ack())
				}
			}
			snap := r.take(t)
			r.settle(t)
			target := r.target(t, r.promote(t))
			target.Level = tc.level
			p := only(t, target, snap)
			if p.How != tc.want || p.From != tc.from || p.Reset != (tc.want == policy.ConsumerReset) {
				t.Errorf("got %s from %d (%s), want %s from %d", p.How, p.From, p.Text, tc.want, tc.from)
			}
			if got := settingsAt(t, r, "deliver_policy"); (got == tc.policy) != (tc.want != policy.ConsumerStartSequence) {
				t.Errorf("its deliver policy is %s, it had %s", got, tc.policy)
			}
			if again := only(t, target, snap); again.How != p.How || again.From != p.From || again.Reset != p.Reset {
				t.Errorf("prepared again: got %+v, want %+v", again, p)
			}
			looks(t, r)
		})
	}
}

func settingsAt(t *testing.T, r *rig, key string) any {
	t.Helper()
	var config map[string]any
	if err := json.Unmarshal(r.info(t, "west", r.mirror.Stream, "APP").Config, &config); err != nil {
		t.Fatal(err)
	}
	return config[key]
}

// looks checks that nothing is left of the consumers that were made to look.
func looks(t *testing.T, r *rig) {
	t.Helper()
	page, err := r.conn["west"].ConsumerPage(within(t), r.mirror.Stream, 0)
	if err != nil || page.Total != 1 {
		t.Errorf("%d consumers at the target, %v", page.Total, err)
	}
}

// TestKeepsConfig carries every setting, and leaves no trace in it.
func TestKeepsConfig(t *testing.T) {
	url := embedded(t).ClientURL()
	for name, config := range map[string]string{
		"pull": `"deliver_policy":"all","ack_policy":"explicit","max_deliver":7,"backoff":[1000000000,5000000000,60000000000],
			"filter_subjects":["$S.0","$S.1"],"replay_policy":"original","sample_freq":"30%","max_waiting":11,"max_ack_pending":222,
			"max_batch":33,"max_expires":44000000000,"max_bytes":55555,"inactive_threshold":3600000000000,"mem_storage":true,
			"num_replicas":1,"headers_only":true,"description":"all of it","metadata":{"team":"a","_x":"y"}`,
		"push": `"deliver_policy":"by_start_sequence","opt_start_seq":3,"ack_policy":"all","ack_wait":7000000000,"deliver_subject":"to.$S",
			"deliver_group":"g","idle_heartbeat":2000000000,"flow_control":true,"rate_limit_bps":80000000,"filter_subject":"$S.*"`,
		"pinned": `"deliver_policy":"all","ack_policy":"explicit","priority_groups":["A"],"priority_policy":"pinned_client",
			"priority_timeout":90000000000`,
		"flow control": `"deliver_policy":"all","ack_policy":"flow_control","deliver_subject":"fc.$S","idle_heartbeat":1000000000,
			"flow_control":true,"max_ack_pending":100`,
		"paused by its application": `"deliver_policy":"all","ack_policy":"explicit","pause_until":"2101-01-01T00:00:00Z"`,
		"pause of its own over":     `"deliver_policy":"all","ack_policy":"explicit","pause_until":"2001-01-01T00:00:00Z"`,
		"pushed, own pause over":    `"deliver_policy":"all","ack_policy":"none","deliver_subject":"to.$S","pause_until":"2001-01-01T00:00:00Z"`,
	} {
		t.Run(name, func(t *testing.T) {
			r := onServer(t, url, "C_"+strings.NewReplacer(" ", "_", ",", "").Replace(name))
			r.publish(t, "east", 10)
			r.consumer(t, "APP", strings.ReplaceAll(config, "$S", r.subject))
			before := r.info(t, "east", r.origin.Stream, "APP")
			snap := r.take(t)
			r.settle(t)
			target := r.target(t, r.promote(t))
			p := only(t, target, snap)
			if p.How == policy.ConsumerFailed || p.Text != "" {
				t.Fatalf("%+v", p)
			}
			if _, err := target.Reset(within(t), []consumers.Prepared{p}); err != nil {
				t.Fatal(err)
			}
			if !r.info(t, "west", r.mirror.Stream, "APP").Paused {
				t.Error("it is not held")
			}
			r.bind(t)
			must(t, consumers.Release(within(t), r.conn["west"], r.mirror.Stream, snap.Consumers))
			after := r.info(t, "west", r.mirror.Stream, "APP")
			if got, want := parsed(t, after.Config), parsed(t, before.Config); !reflect.DeepEqual(got, want) {
				t.Errorf("config: got %v, want %v", got, want)
			}
			if after.Paused != before.Paused {
				t.Errorf("paused: got %v, want %v", after.Paused, before.Paused)
			}
		})
	}
}

// parsed is a config without what the server adds by itself.
func parsed(t *testing.T, raw json.RawMessage) map[string]any {
	t.Helper()
	var c map[string]any
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	if m, ok := c["metadata"].(map[string]any); ok {
		maps.DeleteFunc(m, func(key string, _ any) bool { return strings.HasPrefix(key, "_nats.") })
		if len(m) == 0 {
			delete(c, "metadata")
		}
	}
	return c
}

func TestReplicasAreClamped(t *testing.T) {
	r := onServer(t, embedded(t).ClientURL(), "CLAMP")
	r.consumer(t, "APP", `"deliver_policy":"all","ack_policy":"explicit"`)
	snap := r.take(t)
	snap.Consumers[0].Config = json.RawMessage(strings.Replace(string(snap.Consumers[0].Config), `"num_replicas":0`, `"num_replicas":3`, 1))
	p := only(t, r.target(t, r.promote(t)), snap)
	if got := settingsAt(t, r, "num_replicas"); p.How != policy.ConsumerCreated || !strings.Contains(p.Text, "it was 3") || got != 1.0 {
		t.Errorf("got %+v, replicas %v", p, got)
	}
}

// TestLeavesOthersAlone meets a consumer of the same name which the mirror had before, and one of a config that the server
// refuses.
func TestLeavesOthersAlone(t *testing.T) {
	r := onServer(t, embedded(t).ClientURL(), "FOREIGN")
	for _, name := range []string{"APP", "OTHER", "BAD"} {
		r.consumer(t, name, `"deliver_policy":"all","ack_policy":"explicit"`)
	}
	r.publish(t, "east", 10)
	for _, g := range r.pull(t, "east", r.origin.Stream, "APP", 5) {
		must(t, g.ack())
	}
	snap := r.take(t)
	r.settle(t)
	for name, config := range map[string]string{"APP": `{"durable_name":"APP","ack_policy":"explicit"}`, "OTHER": `{"durable_name":"OTHER","ack_policy":"none"}`} {
		if _, err := r.conn["west"].CreateConsumer(within(t), r.mirror.Stream, name, json.RawMessage(config), ""); err != nil {
			t.Fatal(err)
		}
	}
	for i, c := range snap.Consumers {
		if c.Name == "BAD" {
			snap.Consumers[i].Config = json.RawMessage(strings.Replace(string(c.Config), `"ack_policy":"explicit"`, `"ack_policy":"of 2030"`, 1))
		}
	}
	target := r.target(t, r.promote(t))
	want := map[string]policy.ConsumerHow{"APP": policy.ConsumerExisting, "OTHER": policy.ConsumerExisting, "BAD": policy.ConsumerFailed}
	for _, p := range target.Prepare(within(t), snap.Consumers) {
		if p.Err != nil || p.How != want[p.Name] || p.Reset || p.Text == "" {
			t.Errorf("got %+v, want %s", p, want[p.Name])
		}
	}
	r.bind(t)
	must(t, consumers.Release(within(t), r.conn["west"], r.mirror.Stream, snap.Consumers))
	if all := r.pull(t, "west", r.mirror.Stream, "APP", 10); all[0].seq != 1 {
		t.Errorf("the mirror's own consumer was moved to %d", all[0].seq)
	}
}

// TestLosesAcksBeyondTheTarget has a consumer that was ahead of the mirror.
func TestLosesAcksBeyondTheTarget(t *testing.T) {
	r := onServer(t, embedded(t).ClientURL(), "AHEAD")
	r.consumer(t, "APP", `"deliver_policy":"all","ack_policy":"explicit"`)
	r.publish(t, "east", 10)
	r.settle(t)
	snap := r.take(t)
	snap.Consumers[0].AckFloor, snap.Consumers[0].Delivered, snap.Consumers[0].DeliveredCount = 30, 40, 40
	target := r.target(t, r.promote(t))
	p := only(t, target, snap)
	if _, err := target.Reset(within(t), []consumers.Prepared{p}); err != nil || p.From != 11 || p.MayRedeliver != 0 {
		t.Fatalf("%+v, %v", p, err)
	}
	r.bind(t)
	must(t, consumers.Release(within(t), r.conn["west"], r.mirror.Stream, snap.Consumers))
	r.publish(t, "west", 2)
	if all := r.pull(t, "west", r.mirror.Stream, "APP", 2); all[0].seq != 11 {
		t.Errorf("the first message after the failover came as %d", all[0].seq)
	}
}
