package policy

import (
	"encoding/json"
	"time"
)

// Consumer is one durable consumer, as its stream's leader described it. Sequences are the stream's, which a mirror keeps;
// the two counts are of the consumer's deliveries.
type Consumer struct {
	Name    string          `json:"name"`
	Config  json.RawMessage `json:"config"` // as the server gave it, unknown fields included
	Created time.Time       `json:"created"`
	// AckFloor is the last sequence up to which everything that was delivered is acknowledged, AckedCount the delivery
	// that it belongs to. On replicas both stay 0 until the first acknowledgement, wherever the consumer began.
	AckFloor   uint64 `json:"ack_floor"`
	AckedCount uint64 `json:"acked_count"`
	// Delivered is the last sequence that was delivered, or passed over since it matches no filter; DeliveredCount counts
	// the deliveries, redeliveries included.
	Delivered      uint64 `json:"delivered"`
	DeliveredCount uint64 `json:"delivered_count"`
	AckPending     int    `json:"ack_pending"` // delivered, and not acknowledged yet
	Redelivered    int    `json:"redelivered"` // of them, more than once
	Pending        uint64 `json:"pending"`     // not delivered yet
	// Start is what Delivered was while nothing had been delivered yet, 0 when that was never seen.
	Start uint64 `json:"start,omitempty"`
	// PausedUntil is the application's own pause, the zero time when there is none.
	PausedUntil time.Time `json:"paused_until,omitzero"`
	// Frozen says that it bears a pause of ours in the place of its own.
	Frozen bool `json:"frozen,omitempty"`
}

// ConsumerSnapshot holds the durable consumers of one stream at one moment.
type ConsumerSnapshot struct {
	Stream    MemberID      `json:"stream"`
	Created   time.Time     `json:"created"` // which incarnation of the stream
	At        time.Time     `json:"at"`      // by the clock of who took it
	Age       time.Duration `json:"age"`     // since it was taken; meaningless once committed
	Consumers []Consumer    `json:"consumers"`
	// Missing are those whose leader did not answer. A keeper puts an older position in their place if it has one.
	Missing []string `json:"missing,omitempty"`
}

// ConsumerHow says in which way a consumer goes on at a promoted stream.
type ConsumerHow string

// The ways of a consumer.
const (
	// ConsumerReset: it has its own config, and was put at its position.
	ConsumerReset ConsumerHow = "reset"
	// ConsumerStartSequence: it has its own config but for the deliver policy, which is by_start_sequence at its position.
	ConsumerStartSequence ConsumerHow = "start_sequence"
	// ConsumerCreated: it has its own config, and begins at its position by that alone.
	ConsumerCreated ConsumerHow = "created"
	// ConsumerExisting: the target has a consumer of this name that we did not make. It was left alone.
	ConsumerExisting ConsumerHow = "existing"
	// ConsumerFailed: it could not be carried over.
	ConsumerFailed ConsumerHow = "failed"
)

// ConsumerOutcome is what became of one consumer.
type ConsumerOutcome struct {
	Name string      `json:"name"`
	How  ConsumerHow `json:"how"`
	From uint64      `json:"from,omitempty"` // the stream sequence from which it goes on
	// MayRedeliver is how many messages at most were acknowledged at or after From when the snapshot was taken, and come
	// again. What was acknowledged since then comes again too, and is not counted.
	MayRedeliver uint64 `json:"may_redeliver,omitempty"`
	Text         string `json:"text,omitempty"`
}
