package demo

import (
	"time"
)

// The outcomes of a demo.
const (
	FailedOver = "failed_over"
	NoFailover = "no_failover"
	// SwitchedBack is the end of the story: the origin is the primary again.
	SwitchedBack = "switched_back"
)

// Result is what a demo came to: the JSON object of design.md §10, in this order. Times that there are none of are 0.
type Result struct {
	Topology string `json:"topology"`
	Fault    string `json:"fault"`
	Outcome  string `json:"outcome"`  // failed_over or no_failover; of a story that came to its end, switched_back
	Reason   string `json:"reason"`   // the reason code of the stream at the end
	Expected string `json:"expected"` // outcome/reason by the table
	// Promotions counts the mirrors that are none any more, on the servers; in the story, after the failover.
	Promotions int `json:"promotions"`
	Streams    int `json:"streams"`
	// Acked counts the messages (ids) that any publisher got an ack for. Each is OnPrimary, in the dead origin's Tail
	// above the fork, or Lost. In the story the tail comes to the primary by a replay; it counts as tail for all that.
	Acked     int `json:"acked"`
	OnPrimary int `json:"on_primary"`
	Tail      int `json:"tail"`
	Salvaged  int `json:"salvaged"` // of the tail: archived; only the story waits for the origin's return
	Lost      int `json:"lost"`
	// AtLeast is the watchdogs' estimate of the tail when they began.
	AtLeast uint64 `json:"at_least"`
	// Duplicates counts messages on the primary whose id is there already.
	Duplicates int `json:"duplicates"`

	ThresholdMS int64 `json:"threshold_ms"`
	DetectMS    int64 `json:"detect_ms"`  // fault → first verdict down
	DecideMS    int64 `json:"decide_ms"`  // fault → failover begun
	PromoteMS   int64 `json:"promote_ms"` // begun → subjects bound
	// BeyondThresholdMS is fault → first ack of the new primary, less the threshold.
	BeyondThresholdMS int64 `json:"beyond_threshold_ms"`
	// PublishGapMS is the last ack before the fault's effect → the first one after it.
	PublishGapMS int64 `json:"publish_gap_ms"`
	// StoryResult is there after a story only.
	*StoryResult
	OK bool `json:"ok"`
}

// times are the moments that the figures are made of; zero ones did not come.
type times struct {
	fault, down, begun, bound time.Time
	lastAck, firstAck         time.Time // around the outage
	newPrimaryAck             time.Time
}

func (r *Result) setTimes(t times, threshold time.Duration) {
	r.ThresholdMS = threshold.Milliseconds()
	r.DetectMS = max(between(t.fault, t.down), 0) // in a story the cut before the fault may be seen first
	r.DecideMS = between(t.fault, t.begun)
	r.PromoteMS, r.PublishGapMS = between(t.begun, t.bound), between(t.lastAck, t.firstAck)
	if !t.newPrimaryAck.IsZero() {
		r.BeyondThresholdMS = between(t.fault, t.newPrimaryAck) - r.ThresholdMS
	}
}

// between is in milliseconds; 0 unless both have come.
func between(a, b time.Time) int64 {
	if a.IsZero() || b.IsZero() {
		return 0
	}
	return b.Sub(a).Milliseconds()
}

// judge sets OK: what happened is what the table says, and no acked message is lost.
func (r *Result) judge(want Expectation) {
	r.Expected = want.String()
	happened := Expectation{Outcome: r.Outcome, Reason: r.Reason}
	promotions := 0
	if want.Outcome == FailedOver {
		promotions = 1
	}
	r.OK = happened == want && r.Promotions == promotions && r.Lost == 0
}
