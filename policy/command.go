package policy

import (
	"encoding/json"
	"fmt"
	"time"
)

// Command is one entry of the log: exactly one of its parts is set. The wall time is its proposer's, and serves only
// what is counted in wall time: cool-down, approvals, overrides, the history.
type Command struct {
	Version int       `json:"version"`
	At      time.Time `json:"at"`
	By      string    `json:"by"` // the proposing watchdog

	Round    *RoundCommand    `json:"round,omitempty"`
	Begin    *BeginCommand    `json:"begin,omitempty"`
	Open     *OpenCommand     `json:"open,omitempty"`
	Close    *CloseCommand    `json:"close,omitempty"`
	Result   *ResultCommand   `json:"result,omitempty"`
	Decision *DecisionCommand `json:"decision,omitempty"`
	Hold     *HoldCommand     `json:"hold,omitempty"`
	Approve  *ApproveCommand  `json:"approve,omitempty"`
	Override *OverrideCommand `json:"override,omitempty"`
	Abandon  *AbandonCommand  `json:"abandon,omitempty"`
	Care     *CareCommand     `json:"care,omitempty"`
	Carry    *CarryCommand    `json:"carry,omitempty"`
	Adopt    *AdoptCommand    `json:"adopt,omitempty"`
	Source   *SourceCommand   `json:"source,omitempty"`
	Salvaged *SalvagedCommand `json:"salvaged,omitempty"`
	Spare    *SpareCommand    `json:"spare,omitempty"`
	// All are taken together, in their order, or none is. They hold no others, and are stamped by this one.
	All []Command `json:"all,omitempty"`
}

// RoundCommand carries the rounds of the streams that changed or are not up.
type RoundCommand struct {
	Term    uint64                 `json:"term"`
	Number  uint64                 `json:"number"`
	Streams map[string]StreamRound `json:"streams"`
	// Rules of the streams that the log does not know yet, by name.
	Rules map[string]StreamRules `json:"rules,omitempty"`
	// Intervals clamp what a round may add to the clock: two of the stream's own.
	Intervals map[string]time.Duration `json:"intervals"`
}

// BeginCommand begins an attempt. Term and Round name the logged round that it was decided on: Apply refuses it when
// a newer one is in the log.
type BeginCommand struct {
	Stream  string  `json:"stream"`
	Term    uint64  `json:"term"`
	Round   uint64  `json:"round"`
	Attempt Attempt `json:"attempt"`
}

// OpenCommand logs a write before it is sent.
type OpenCommand struct {
	Stream string `json:"stream"`
	Epoch  uint64 `json:"epoch"` // StreamState.Epoch as the writer knew it
	Phase  Phase  `json:"phase"` // of the attempt, "" for a write outside of one (return guard, repair)
	Write  Write  `json:"write"`
	// Seen is what the writer has just read of the member, if no round has seen it yet: a former primary that is back.
	Seen *Snapshot `json:"seen,omitempty"`
}

// CloseCommand logs that a write can change nothing any more.
type CloseCommand struct {
	Stream string   `json:"stream"`
	Member MemberID `json:"member"`
	Write  WriteID  `json:"write"`
	How    CloseHow `json:"how"`
	Detail string   `json:"detail,omitempty"`
	// Only says that the write was sent once at most, by the watchdog that opened it: no other copy is on its way.
	Only bool `json:"only,omitempty"`
}

// ResultCommand logs what a phase came to. Apply takes it only when epoch and phase are the attempt's.
type ResultCommand struct {
	Stream  string        `json:"stream"`
	Epoch   uint64        `json:"epoch"`
	Phase   Phase         `json:"phase"`
	Outcome Outcome       `json:"outcome"`
	Reason  Reason        `json:"reason"`
	Took    time.Duration `json:"took"`
	// Facts that the phase found; zero values leave the attempt as it is.
	FenceDebt bool   `json:"fence_debt,omitempty"`
	LastSeq   uint64 `json:"last_seq,omitempty"`

	Drained uint64 `json:"drained,omitempty"`

	Seed *SeedRecord `json:"seed,omitempty"`
}

// Outcome is what a phase came to.
type Outcome string

// The outcomes of a phase. Waiting is logged only when its reason changes.
const (
	OutcomeDone    Outcome = "done"
	OutcomeWaiting Outcome = "waiting"
	OutcomeAbort   Outcome = "abort"
	// Of the care of a member: it begins, a person asks for the rejoin, and the archive is to be made once more.
	OutcomeBegin Outcome = "begin"
	OutcomeAsk   Outcome = "ask"
	OutcomeAgain Outcome = "again"
)

// DecisionCommand logs a changed reason, so that the history can tell why nothing happened.
type DecisionCommand struct {
	Stream string `json:"stream"`
	Reason Reason `json:"reason"`
	// WouldHave is set when alert-only was the only gate left.
	WouldHave bool `json:"would_have,omitempty"`
	// Override is the id of the request that this answers, if any.
	Override string `json:"override,omitempty"`
	// Ends is the time of the approval that ends, since it was for another target or a smaller loss.
	Ends time.Time `json:"ends,omitzero"`
}

// HoldCommand sets a hold to Held if its version is still Version.
type HoldCommand struct {
	Stream  string `json:"stream,omitempty"` // "": the whole group
	Held    bool   `json:"held"`
	Version uint64 `json:"version"`
	By      string `json:"by"`
}

// ApproveCommand records a person's consent.
type ApproveCommand struct {
	Stream   string   `json:"stream"`
	Approval Approval `json:"approval"`
}

// OverrideCommand records a request to fail over now.
type OverrideCommand struct {
	Override Override `json:"override"`
}

// AbandonCommand gives up the target of a running failover, by the word of a person that its site is gone for good.
type AbandonCommand struct {
	Stream string `json:"stream"`
	Site   string `json:"site"` // of the target
	By     string `json:"by"`
}

// Encode returns the command's persisted form.
func (c Command) Encode() ([]byte, error) {
	c.Version = FormatVersion
	return json.Marshal(c)
}

// DecodeCommand reads the persisted form; another version is an error, never a guess.
func DecodeCommand(b []byte) (Command, error) {
	var c Command
	if err := json.Unmarshal(b, &c); err != nil {
		return Command{}, fmt.Errorf("command: %w", err)
	}
	if c.Version != FormatVersion {
		return Command{}, fmt.Errorf("command has version %d, this build reads %d", c.Version, FormatVersion)
	}
	return c, nil
}

// Encode returns the state's persisted form.
func (s State) Encode() ([]byte, error) { return json.Marshal(s) }

// DecodeState reads the persisted form; another version is an error, never a guess.
func DecodeState(b []byte) (State, error) {
	s := NewState()
	if err := json.Unmarshal(b, &s); err != nil {
		return State{}, fmt.Errorf("state: %w", err)
	}
	if s.Version != FormatVersion {
		return State{}, fmt.Errorf("state has version %d, this build reads %d", s.Version, FormatVersion)
	}
	if s.Streams == nil {
		s.Streams = map[string]StreamState{}
	}
	return s, nil
}
