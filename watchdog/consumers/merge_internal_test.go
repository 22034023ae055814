package consumers

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/policy"
)

// TestKeep feeds a keeper the snapshots that no server gives on demand: of consumers that do not answer, and answers that
// come late.
func TestKeep(t *testing.T) {
	id := policy.MemberID{Site: "east", Stream: "S"}
	now := time.Now()
	first, second := now.Add(-time.Hour), now
	at := func(age time.Duration, created time.Time, missing string, all ...policy.Consumer) policy.ConsumerSnapshot {
		return policy.ConsumerSnapshot{Stream: id, Created: created, At: now.Add(-age * time.Second), Consumers: all, Missing: strings.Fields(missing)}
	}
	a, b := policy.Consumer{Name: "A", Created: first, Delivered: 5, Start: 5}, policy.Consumer{Name: "B", Created: first, AckFloor: 7}
	moved := policy.Consumer{Name: "A", Created: first, Delivered: 9, DeliveredCount: 4}
	for _, tc := range []struct {
		name  string
		snaps []policy.ConsumerSnapshot
		want  string
	}{
		{"one does not answer", []policy.ConsumerSnapshot{at(2, first, "", a, b), at(1, first, "B", a)}, "A0 B7"},
		{"one is deleted", []policy.ConsumerSnapshot{at(2, first, "", a, b), at(1, first, "", a)}, "A0"},
		{"one does not answer after the stream was made anew", []policy.ConsumerSnapshot{at(2, first, "", a, b), at(1, second, "B", a)}, "A0"},
		{"an answer comes late", []policy.ConsumerSnapshot{at(1, first, "", a, b), at(2, first, "", a)}, "A0 B7"},
		{"where it began is remembered", []policy.ConsumerSnapshot{at(3, first, "", a), at(2, first, "", moved), at(1, first, "", moved)}, "A5"},
	} {
		k := &Keeper{kept: map[string]*held{}}
		for _, s := range tc.snaps {
			k.keep("S", s, nil)
		}
		s, _ := k.Latest("S", id)
		var got []string
		for _, c := range s.Consumers {
			floor := c.AckFloor
			if c.DeliveredCount > 0 {
				floor = c.Start
			}
			got = append(got, c.Name+string(rune('0'+floor)))
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%s: got %s, want %s", tc.name, got, tc.want)
		}
	}
}

// TestKeepWritesChangesOnly leaves the disk alone while nothing but the time changes.
func TestKeepWritesChangesOnly(t *testing.T) {
	k := &Keeper{kept: map[string]*held{}}
	s := policy.ConsumerSnapshot{Stream: policy.MemberID{Site: "east", Stream: "S"}, Consumers: []policy.Consumer{{Name: "A", AckFloor: 1}}}
	for i, floor := range []uint64{1, 1, 2} {
		s.At, s.Consumers = time.Now(), []policy.Consumer{{Name: "A", AckFloor: floor}}
		k.keep("S", s, nil)
		if got, want := len(k.changedStreams(-1)), []int{1, 0, 1}[i]; got != want {
			t.Errorf("snapshot %d: %d streams to write, want %d", i, got, want)
		}
	}
}

// TestOwnConfig strips what is the server's, and names the level that it asks for.
func TestOwnConfig(t *testing.T) {
	raw := `{"durable_name":"A","ack_policy":"explicit","from_2030":{"x":1},"metadata":{"_nats.req.level":"1","_nats.ver":"2.15.2","_mine":"1"}}`
	c, requires, note, err := Target{Epoch: 7, Replicas: 1, Retention: retentionOfLimits}.ownConfig(json.RawMessage(raw))
	if err != nil || requires != "1" || note != "" {
		t.Fatalf("requires %q, note %q, %v", requires, note, err)
	}
	want := `{"ack_policy":"explicit","durable_name":"A","from_2030":{"x":1},"metadata":{"_mine":"1"},"pause_until":"2242-02-02T22:42:42.000000007Z"}`
	if got := string(c.bytes()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	bare, _, _, err := Target{}.ownConfig(json.RawMessage(`{"metadata":{"_nats.ver":"2.15.2"}}`))
	if _, has := bare["metadata"]; err != nil || has {
		t.Errorf("metadata of the server only: %s, %v", bare.bytes(), err)
	}
	if gone := lost(c, json.RawMessage(`{"ack_policy":"explicit","durable_name":"A","metadata":{},"pause_until":""}`)); len(gone) != 1 || gone[0] != "from_2030" {
		t.Errorf("lost: %v", gone)
	}
}
