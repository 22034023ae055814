package consumers

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/understudy-ha/understudy/policy"
)

// Position is the stream sequence from which a consumer has to go on: behind the last message up to which all are
// processed, and not beyond the end of the promoted stream, whose last sequence is lastSeq. What was acknowledged above its
// floor comes again.
//
// A consumer without acknowledgements has processed what it was sent. One that was sent nothing yet has no floor on
// replicas; it goes on where it was to begin.
func Position(c policy.Consumer, lastSeq uint64) uint64 {
	conf := settingsOf(c.Config)
	floor := c.AckFloor
	switch {
	case c.DeliveredCount == 0 || conf.AckPolicy == "none":
		floor = c.Delivered
	case !resettable(conf):
		floor = max(floor, c.Start) // it never goes back behind that
	}
	from := min(floor, lastSeq) + 1
	if conf.DeliverPolicy == byStartSequence {
		from = max(from, conf.OptStartSeq) // which may be beyond the end
	}
	return from
}

// mayRedeliver is an upper bound of the messages from a sequence on that were acknowledged already.
func mayRedeliver(c policy.Consumer, from uint64) uint64 {
	switch settingsOf(c.Config).AckPolicy {
	case "none", "all", "flow_control": // none of these acknowledges above its floor
		return 0
	}
	n := min(less(c.Delivered, from-1), less(c.DeliveredCount, c.AckedCount))
	return less(n, uint64(max(c.AckPending, 0)))
}

// less is a - b, and 0 where that would be negative.
func less(a, b uint64) uint64 { return a - min(a, b) }

// The deliver policies that need to be told apart.
const (
	deliverAll        = "all"
	deliverNew        = "new"
	lastPerSubject    = "last_per_subject"
	byStartSequence   = "by_start_sequence"
	byStartTime       = "by_start_time"
	retentionOfLimits = "limits"
)

// settings are the parts of a consumer's config that are looked at. It is never written back.
type settings struct {
	DeliverPolicy  string            `json:"deliver_policy"`
	OptStartSeq    uint64            `json:"opt_start_seq"`
	OptStartTime   time.Time         `json:"opt_start_time"`
	AckPolicy      string            `json:"ack_policy"`
	Replicas       int               `json:"num_replicas"`
	DeliverSubject string            `json:"deliver_subject"`
	PauseUntil     time.Time         `json:"pause_until"`
	Metadata       map[string]string `json:"metadata"`
}

// settingsOf reads what it can: a config that does not parse has none, and fails where it is to be written.
func settingsOf(raw json.RawMessage) settings {
	var s settings
	_ = json.Unmarshal(raw, &s)
	return s
}

// String tells a beginning as the config names it.
func (s settings) String() string {
	switch s.DeliverPolicy {
	case byStartSequence:
		return fmt.Sprintf("%s %d", s.DeliverPolicy, s.OptStartSeq)
	case byStartTime:
		return fmt.Sprintf("%s %s", s.DeliverPolicy, s.OptStartTime.Format(time.RFC3339))
	}
	return s.DeliverPolicy
}
