package policy

import (
	"encoding/json"
	"time"
)

// Verdict is what one observer says of a stream.
type Verdict string

// The verdicts. UpParked is neither up nor down: the stream answers, but holds only its parked subject.
const (
	Up       Verdict = "up"
	Down     Verdict = "down"
	Unknown  Verdict = "unknown"
	UpParked Verdict = "up_parked"
)

// Evidence is what a look met. Which verdict it supports is the table in evidenceVerdict.
type Evidence string

// The kinds of evidence, one for each row of what NATS can answer.
const (
	Answered         Evidence = "answered"           // INFO with a leader
	AnsweredParked   Evidence = "answered_parked"    // INFO with a leader, bound to the parked subject only
	NoResponders     Evidence = "no_responders"      // nobody serves the API or the stream there
	Timeout          Evidence = "timeout"            // asked, no answer in time
	Disconnected     Evidence = "disconnected"       // no connection to the site
	Offline          Evidence = "offline"            // 10118: its servers are known to be offline
	NoLeader         Evidence = "no_leader"          // INFO without a leader
	AuthError        Evidence = "auth_error"         // the site refused our login
	PermissionDenied Evidence = "permission"         // the login may not ask
	MetaUnavailable  Evidence = "meta_quorum_lost"   // 10008: the meta group has no quorum
	Overloaded       Evidence = "overloaded"         // the API dropped or refused requests
	Isolated         Evidence = "isolated"           // this observer reaches no site at all
	NotFound         Evidence = "deleted"            // 404/10059
	Recreated        Evidence = "recreated"          // `created` differs from the logged one
	JetStreamOff     Evidence = "jetstream_disabled" // 10039 account, 10076 server
	NotLooked        Evidence = "not_looked"         // no look lately
	Unclear          Evidence = "unclear"            // an answer that this build does not know
)

// Verdict returns what a piece of evidence means by itself.
func (e Evidence) Verdict() Verdict {
	switch e {
	case Answered:
		return Up
	case AnsweredParked:
		return UpParked
	case NoResponders, Timeout, Disconnected, Offline, NoLeader:
		return Down
	}
	return Unknown
}

// Report is everything one observer last saw. Ages are relative to the moment it was served, so that no two clocks
// are ever compared.
type Report struct {
	Node       string `json:"node"`
	Site       string `json:"site"`
	ConfigHash string `json:"config_hash"`
	// Term and Round name the latest round that the observer had heard of when the probe of this report began.
	Term    uint64                  `json:"term"`
	Round   uint64                  `json:"round"`
	Streams map[string]StreamReport `json:"streams"`
}

// StreamReport holds one observer's view of every member of one guarded stream, by MemberID.String().
type StreamReport struct {
	Members map[string]MemberReport `json:"members"`
}

// MemberReport is one observer's view of one member.
type MemberReport struct {
	// Looks are the latest looks, one a path: through the member's own site and, in a shared meta group, through the
	// other members' sites too. A path whose own site cannot be reached says nothing about the member and is left
	// out, unless it is the member's own.
	Looks []Look `json:"looks"`
	// Last is the newest answer that this observer ever got; nil when there was none.
	Last *Snapshot `json:"last,omitempty"`
}

// Look is one question about a member through one site.
type Look struct {
	Via      string        `json:"via"`
	Evidence Evidence      `json:"evidence"`
	Detail   string        `json:"detail,omitempty"` // the server's or the client's own words
	Age      time.Duration `json:"age"`              // since the look ended
	Took     time.Duration `json:"took"`             // its duration
}

// Snapshot is one answer of STREAM.INFO.
type Snapshot struct {
	Age       time.Duration   `json:"age"` // since it was taken; meaningless once committed
	Created   time.Time       `json:"created"`
	FirstSeq  uint64          `json:"first_seq"`
	LastSeq   uint64          `json:"last_seq"`
	LastTime  time.Time       `json:"last_time"`
	Messages  uint64          `json:"messages"`
	Deleted   uint64          `json:"deleted"`
	Rate      float64         `json:"rate"` // messages a second, by this observer's last two answers
	Mirror    *MirrorView     `json:"mirror,omitempty"`
	Leader    string          `json:"leader,omitempty"`
	Replicas  int             `json:"replicas"` // configured
	Current   int             `json:"current"`  // of them, current (leader included)
	APILevel  int             `json:"api_level"`
	Config    json.RawMessage `json:"config,omitempty"` // as the server gave it, unknown fields included
	ConfigSum string          `json:"config_sum"`       // Sum(Config)
}

// MirrorView is a mirror's own account of its upstream.
type MirrorView struct {
	Name   string        `json:"name"`   // the upstream stream it reports
	Active time.Duration `json:"active"` // since the last frame from upstream; negative: never
	Lag    uint64        `json:"lag"`    // proves nothing by itself
	Error  string        `json:"error,omitempty"`
}
