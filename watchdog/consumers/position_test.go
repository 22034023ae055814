package consumers_test

import (
	"encoding/json"
	"testing"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/consumers"
)

func TestPosition(t *testing.T) {
	for _, tc := range []struct {
		name, config string
		c            policy.Consumer
		last, want   uint64
	}{
		{"in the middle", `{"ack_policy":"explicit"}`, policy.Consumer{AckFloor: 10, Delivered: 30, DeliveredCount: 30}, 100, 11},
		{"all acknowledged", `{"ack_policy":"explicit"}`, policy.Consumer{AckFloor: 100, Delivered: 100, DeliveredCount: 100}, 100, 101},
		{"ahead of the target", `{"ack_policy":"explicit"}`, policy.Consumer{AckFloor: 100, Delivered: 120, DeliveredCount: 120}, 90, 91},
		{"without acknowledgements", `{"ack_policy":"none"}`, policy.Consumer{AckFloor: 0, Delivered: 30, DeliveredCount: 30}, 100, 31},
		{"new, nothing delivered, replicas", `{"deliver_policy":"new","ack_policy":"explicit"}`, policy.Consumer{Delivered: 50, Start: 50}, 100, 51},
		{"new, nothing acknowledged, replicas", `{"deliver_policy":"new","ack_policy":"explicit"}`,
			policy.Consumer{Delivered: 60, DeliveredCount: 10, Start: 50}, 100, 51},
		{"all, taken back before where it once began", `{"deliver_policy":"all","ack_policy":"explicit"}`,
			policy.Consumer{Delivered: 60, DeliveredCount: 60, Start: 50}, 100, 1},
		{"start sequence, nothing acknowledged, replicas", `{"deliver_policy":"by_start_sequence","opt_start_seq":40,"ack_policy":"explicit"}`,
			policy.Consumer{Delivered: 60, DeliveredCount: 20}, 100, 40},
		{"start sequence beyond the end", `{"deliver_policy":"by_start_sequence","opt_start_seq":500,"ack_policy":"explicit"}`,
			policy.Consumer{Delivered: 499}, 100, 500},
		{"empty stream", `{"deliver_policy":"all","ack_policy":"explicit"}`, policy.Consumer{}, 0, 1},
	} {
		tc.c.Config = json.RawMessage(tc.config)
		if got := consumers.Position(tc.c, tc.last); got != tc.want {
			t.Errorf("%s: got %d, want %d", tc.name, got, tc.want)
		}
	}
}
