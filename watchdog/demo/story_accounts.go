package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/understudy-ha/understudy/policy"
)

// consumersAreCarried says whether a story is OK only when the worker's durable was carried, there and back, and missed
// nothing. It is to be set as soon as the watchdogs' service supplies the snapshots of consumers to a failover; until then
// what became of the durable is told and counted only.
const consumersAreCarried = true

// StoryResult is what a story adds to the figures of a demo.
type StoryResult struct {
	// Replayed counts the messages on the primary that a replay brought there.
	Replayed int `json:"replayed"`
	// DualCaptureMS is for how long the returned origin took messages beside the new primary, as the watchdogs saw it or,
	// if that is more, as its archived messages show.
	DualCaptureMS int64 `json:"dual_capture_ms"`
	// SwitchoverGapMS is the longest time without an ack to any publisher around the switchover.
	SwitchoverGapMS int64 `json:"switchover_gap_ms"`
	// Consumers counts the durables that were carried all the way, there and back. Redelivered are the messages that they
	// got again, Missed those on the primary that they never got; it is 0 when none was carried.
	Consumers   int `json:"consumers"`
	Redelivered int `json:"redelivered"`
	Missed      int `json:"missed"`
}

// account ends the publishers, looks at the servers, and judges.
func (st *story) account(ctx context.Context) (Result, error) {
	st.p.stop()
	ctx, cancel := context.WithTimeout(ctx, accountTime)
	defer cancel()
	w := st.w
	r := Result{Topology: string(st.o.Topology), Fault: string(st.o.Fault), Outcome: NoFailover, Promotions: st.promotions, Streams: 1,
		Reason: string(w.stream.Reason.Code), AtLeast: w.atLeast, StoryResult: &StoryResult{SwitchoverGapMS: st.gap.Milliseconds()}}
	switch {
	case st.done && w.stream.Primary.Site == origin:
		r.Outcome = SwitchedBack
	case w.moved:
		r.Outcome = FailedOver
	}
	r.setTimes(w.times(), st.o.After)
	for _, c := range w.stream.DualCapture {
		r.DualCaptureMS += c.Exposed(time.Now()).Milliseconds()
	}
	acked := st.p.acked()
	r.Acked = len(acked)
	if err := st.find(ctx, acked, &r); err != nil {
		return r, fmt.Errorf("account for the messages: %w", err)
	}
	r.judgeStory()
	return r, nil
}

// find says where every acked message is now: on the primary by itself, or in an archive and by its replay on the primary.
func (st *story) find(ctx context.Context, acked map[string]bool, r *Result) error {
	held, err := st.readStream(ctx, st.w.stream.Primary)
	if err != nil {
		return fmt.Errorf("read the primary: %w", err)
	}
	archived, err := st.archived(ctx)
	if err != nil {
		return fmt.Errorf("read the archives: %w", err)
	}
	r.Duplicates = held.duplicates()
	on := held.ids(0)
	r.Replayed = len(held.replayed)
	for id := range acked {
		switch {
		case on[id] && !held.replayed[id]:
			r.OnPrimary++
		case archived[id]:
			r.Tail, r.Salvaged = r.Tail+1, r.Salvaged+1
		case on[id]:
			r.Tail++
		default:
			r.Lost++
			st.tell.now("demo", "lost", "message "+id+" was acked, and is nowhere")
		}
	}
	return st.findConsumers(ctx, on, r)
}

// findConsumers says what became of the worker's durable.
func (st *story) findConsumers(ctx context.Context, on map[string]bool, r *Result) error {
	if len(st.carried) == 2 {
		r.Consumers = min(st.carried[0], st.carried[1])
	}
	if r.Consumers > 0 {
		ctx, cancel := context.WithTimeout(ctx, 3*workerAck)
		defer cancel()
		_ = st.worker.untilAll(ctx, on) // what it lacks then is counted
		r.Missed = st.worker.missed(on)
	}
	st.worker.stop()
	r.Redelivered = st.worker.again()
	return nil
}

// judgeStory sets OK: all came to its end, every message is on the primary once, and each one of the tail was archived and
// replayed.
func (r *Result) judgeStory() {
	want := Expectation{SwitchedBack, string(policy.Healthy)}
	r.Expected = want.String()
	r.OK = Expectation{r.Outcome, r.Reason} == want && r.Promotions == 1 && r.Lost == 0 && r.Duplicates == 0 && r.Salvaged == r.Tail && r.Replayed >= r.Tail
	if consumersAreCarried {
		r.OK = r.OK && r.Consumers == 1 && r.Missed == 0
	}
}
