package dedup

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

// target is the promoted stream as far as seeding depends on it.
type target struct {
	config config
	state  jsapi.State
	now    time.Time // the server's clock
}

// config are the settings that forbid or limit a seeding.
type config struct {
	Mirror        json.RawMessage `json:"mirror"`
	Subjects      []string        `json:"subjects"`
	Retention     string          `json:"retention"`
	DiscardNewPer bool            `json:"discard_new_per_subject"`
	MaxPerSubject int64           `json:"max_msgs_per_subject"`
	MaxMsgs       int64           `json:"max_msgs"`
	MaxBytes      int64           `json:"max_bytes"`
	MaxMsgSize    int64           `json:"max_msg_size"`
	MaxAge        time.Duration   `json:"max_age"`
	Window        time.Duration   `json:"duplicate_window"`
	NoAck         bool            `json:"no_ack"`
	Sealed        bool            `json:"sealed"`
	DenyPurge     bool            `json:"deny_purge"`
	AllowTTL      bool            `json:"allow_msg_ttl"`
	Counter       bool            `json:"allow_msg_counter"`
	Transform     *mapping        `json:"subject_transform"`
	Republish     *mapping        `json:"republish"`
}

// mapping is what the server does with messages whose subject matches Source; "" is every subject.
type mapping struct {
	Source string `json:"src"`
	Dest   string `json:"dest"`
}

func readTarget(info *jsapi.Info, subject string) (target, error) {
	t := target{state: info.State, now: info.Time}
	if err := json.Unmarshal(info.Config, &t.config); err != nil {
		return t, fmt.Errorf("unreadable config: %w", err)
	}
	if t.config.Mirror != nil || !slices.Equal(t.config.Subjects, []string{subject}) {
		return t, fmt.Errorf("%w: bound to %q", ErrNotParked, t.config.Subjects)
	}
	return t, nil
}

// unfit says why nothing may be seeded, or "".
func (t target) unfit(subject string) string {
	c := t.config
	switch {
	case c.Window <= 0:
		return "the stream does not look for duplicates (duplicate_window is 0)"
	case c.NoAck:
		return "the stream sends no acks (no_ack), so no seed can be checked"
	case c.Sealed:
		return "the stream is sealed"
	case c.DenyPurge:
		return "seeds could not be removed again (deny_purge)"
	case c.Retention != "limits":
		return fmt.Sprintf("seeds would count as work (retention %s)", c.Retention)
	case c.Counter:
		return "the stream takes counters only (allow_msg_counter)"
	case c.Transform != nil && matches(c.Transform.Source, subject):
		return fmt.Sprintf("the stream would store seeds on another subject (subject_transform of %s)", c.Transform)
	case c.Republish != nil && matches(c.Republish.Source, subject):
		return fmt.Sprintf("the stream would publish seeds to its listeners (republish of %s)", c.Republish)
	case c.MaxPerSubject > 0 && c.DiscardNewPer:
		return fmt.Sprintf("the stream refuses more than %d on one subject (discard_new_per_subject)", c.MaxPerSubject)
	}
	return ""
}

// String shows the mapping's source.
func (m *mapping) String() string {
	if m.Source == "" {
		return ">"
	}
	return m.Source
}

// expires tells whether the stream removes messages by itself, with nothing stored.
func (t target) expires() bool { return t.config.MaxAge > 0 || t.config.AllowTTL }

// fitting returns the ids, newest first, whose seeds the stream has room for, and why the others have to go. Nothing is
// left to the stream's discard policy: it would make room with a real message.
func (t target) fitting(ids []string, seed seed) (fits []string, why string) {
	c, bytes := t.config, t.state.Bytes
	for _, id := range ids {
		bytes += seed.stored(id)
		switch {
		case c.MaxMsgSize > 0 && seed.size(id) > uint64(c.MaxMsgSize):
			why = fmt.Sprintf("a seed needs %d bytes of max_msg_size %d", seed.size(id), c.MaxMsgSize)
			bytes -= seed.stored(id)
			continue
		case c.MaxMsgs > 0 && t.state.Messages+uint64(len(fits)) >= uint64(c.MaxMsgs):
			return fits, fmt.Sprintf("the stream holds %d messages of max_msgs %d", t.state.Messages, c.MaxMsgs)
		case c.MaxBytes > 0 && bytes > uint64(c.MaxBytes):
			return fits, fmt.Sprintf("the stream holds %d bytes of max_bytes %d", t.state.Bytes, c.MaxBytes)
		}
		fits = append(fits, id)
	}
	return fits, why
}
