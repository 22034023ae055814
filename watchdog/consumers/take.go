package consumers

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

// Take reads where the durable consumers of a stream stand. An error of the stream's INFO or of any page ends it: half a
// list would look as if the other half had been deleted.
//
// Durables are what has a durable_name. Left out are the ephemeral and the ordered ones, which their clients make anew and
// place themselves, and what mirrors and sources follow through (direct or sourcing), which the streams behind them make.
// A durable that a person made for a source to follow through is carried.
func Take(ctx context.Context, conn *jsapi.Conn, id policy.MemberID) (policy.ConsumerSnapshot, error) {
	info, err := conn.Info(ctx, id.Stream)
	if err != nil {
		return policy.ConsumerSnapshot{}, fmt.Errorf("take the consumers of %s: %w", id, err)
	}
	snap := policy.ConsumerSnapshot{Stream: id, Created: info.Created, At: time.Now(), Consumers: []policy.Consumer{}}
	if info.State.Consumers == 0 {
		return snap, nil
	}
	all, missing, err := conn.Consumers(ctx, id.Stream)
	if err != nil {
		return policy.ConsumerSnapshot{}, fmt.Errorf("take the consumers of %s: %w", id, err)
	}
	snap.Missing = missing
	for _, c := range all {
		one, durable, err := consumerOf(c)
		if err != nil {
			return policy.ConsumerSnapshot{}, fmt.Errorf("take consumer %s of %s: %w", c.Name, id, err)
		}
		if durable {
			snap.Consumers = append(snap.Consumers, one)
		}
	}
	return snap, nil
}

// consumerOf turns the server's description into the policy's; durable is false for what is not carried.
func consumerOf(i *jsapi.ConsumerInfo) (c policy.Consumer, durable bool, err error) {
	var conf struct {
		Durable    string    `json:"durable_name"`
		Direct     bool      `json:"direct"`
		Sourcing   bool      `json:"sourcing"`
		PauseUntil time.Time `json:"pause_until"`
	}
	if err := json.Unmarshal(i.Config, &conf); err != nil {
		return policy.Consumer{}, false, fmt.Errorf("unreadable config: %w", err)
	}
	c = policy.Consumer{
		Name: i.Name, Config: i.Config, Created: i.Created, AckFloor: i.AckFloor.Stream, AckedCount: i.AckFloor.Consumer,
		Delivered: i.Delivered.Stream, DeliveredCount: i.Delivered.Consumer, AckPending: i.NumAckPending,
		Redelivered: i.NumRedelivered, Pending: i.NumPending, Frozen: isMark(conf.PauseUntil),
	}
	if !c.Frozen {
		c.PausedUntil = conf.PauseUntil
	}
	if c.DeliveredCount == 0 {
		c.Start = c.Delivered
	}
	return c, conf.Durable != "" && !conf.Direct && !conf.Sourcing, nil
}
