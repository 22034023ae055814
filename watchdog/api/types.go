package api

import (
	"context"
	"time"

	"github.com/understudy-ha/understudy/policy"
)

// Status is the answer of /v1/status: the whole group as one watchdog knows it.
type Status struct {
	Node    string         `json:"node"`
	Leader  string         `json:"leader"`
	Term    uint64         `json:"term"`
	Quorum  bool           `json:"quorum"`
	Held    bool           `json:"held"`
	HeldBy  string         `json:"held_by,omitempty"`
	Hash    string         `json:"config_hash"`
	Version string         `json:"version"`
	Peers   []PeerStatus   `json:"peers"`
	Streams []StreamStatus `json:"streams"`
}

// PeerStatus is one configured watchdog, as the answering one hears of it.
type PeerStatus struct {
	Node       string `json:"node"`
	Site       string `json:"site"`
	Leader     bool   `json:"leader"`
	Fresh      bool   `json:"fresh"`       // it reported within the last rounds
	ConfigHash string `json:"config_hash"` // "" while unknown
}

// The states of a stream.
const (
	StateHealthy     = "healthy"
	StateSuspect     = "suspect"
	StateDown        = "down" // threshold passed, not acting: the reason says why
	StateFailingOver = "failing_over"
	// StateSwitchingOver is a planned change of a primary that lives.
	StateSwitchingOver = "switching_over"
	StateFailedOver    = "failed_over" // the old origin is not back yet
	StateReturned      = "returned"
	StateRejoining     = "rejoining"
	StateHeld          = "held"
	StateUnknown       = "unknown"
)

// StreamStatus is one guarded stream.
type StreamStatus struct {
	Name        string           `json:"name"`
	State       string           `json:"state"`
	Mode        policy.Mode      `json:"mode"`
	Epoch       uint64           `json:"epoch"`
	Primary     policy.MemberID  `json:"primary"`
	Phase       policy.Phase     `json:"phase"`
	Target      *policy.MemberID `json:"target,omitempty"`
	OutageMS    int64            `json:"outage_ms"`
	ThresholdMS int64            `json:"threshold_ms"`
	Reason      policy.Reason    `json:"reason"`
	Loss        policy.Loss      `json:"loss"`
	LossLimit   uint64           `json:"loss_limit"`
	Held        bool             `json:"held"`
	HeldBy      string           `json:"held_by,omitempty"`
	WouldHave   uint64           `json:"would_have_failed_over"`
	Observers   []ObserverStatus `json:"observers"`
	Members     []MemberStatus   `json:"members"`
	OpenWrites  []policy.WriteID `json:"open_writes,omitempty"`
	Attempt     *policy.Attempt  `json:"attempt,omitempty"`
	Last        *policy.Attempt  `json:"last,omitempty"`
	// DualCapture are the times in which retired origins took messages, too; DualCaptureMS sums up, from the archives, the
	// time from the first to the last message that each stored after the new primary was bound.
	DualCapture   []policy.Capture `json:"dual_capture,omitempty"`
	DualCaptureMS int64            `json:"dual_capture_ms,omitempty"`
	// Aftercare is under way for members since the primary has changed; Archives are the tails that were archived.
	Aftercare []CareStatus     `json:"aftercare,omitempty"`
	Archives  []policy.Archive `json:"archives,omitempty"`
	// Lost counts what was given up with an origin that was deleted unread (release: delete), at least, and what an origin was seen
	// to hold and came back without.
	Lost uint64 `json:"lost,omitempty"`
	// Unread are those origins: what is lost with them is an estimate until a copy of their store is salvaged.
	Unread []policy.Unread `json:"unread,omitempty"`
	// Sourcing are the streams that have, or had, a replaced primary among their sources.
	Sourcing []policy.Sourcing `json:"sourcing,omitempty"`
	// Spares are further copies, made for as long as an only sibling is made anew; nobody's to use.
	Spares []policy.Spare `json:"spares,omitempty"`
}

// ObserverStatus is one watchdog's verdict on the primary.
type ObserverStatus struct {
	Node     string          `json:"node"`
	Site     string          `json:"site"`
	Verdict  policy.Verdict  `json:"verdict"`
	Evidence policy.Evidence `json:"evidence"`
	Via      string          `json:"via,omitempty"`
	Detail   string          `json:"detail,omitempty"`
	AgeMS    int64           `json:"age_ms"`
	Fresh    bool            `json:"fresh"`
}

// MemberStatus is one stream of the guarded group.
type MemberStatus struct {
	Site     string          `json:"site"`
	Stream   string          `json:"stream"`
	Role     string          `json:"role"` // primary, mirror, retired
	Evidence policy.Evidence `json:"evidence"`
	LastSeq  uint64          `json:"last_seq"`
	Messages uint64          `json:"messages"`
	Behind   uint64          `json:"behind"`
	ActiveMS int64           `json:"active_ms"` // since its last frame from upstream; -1 never or unknown
	Eligible bool            `json:"eligible"`
	Reason   string          `json:"reason"` // the candidate's code, "" for the primary
	Text     string          `json:"text,omitempty"`
	Shape    string          `json:"shape,omitempty"`
}

// CareStatus is the care of one member, and how far its archive is while one is made.
type CareStatus struct {
	policy.Aftercare
	Stage string `json:"stage,omitempty"`
	Done  uint64 `json:"done,omitempty"`
	Total uint64 `json:"total,omitempty"`
}

// Health is what the health endpoints answer from.
type Health struct {
	// Live: the loops of this process advance.
	Live     bool   `json:"live"`
	LiveText string `json:"live_text"`
	// Ready: raft joined, committed lately, config valid.
	Ready     bool   `json:"ready"`
	ReadyText string `json:"ready_text"`
}

// Request is an admin command. Any watchdog takes it, and passes it on to the leader.
type Request struct {
	// Verb is hold, resume, approve, failover, switchover, rejoin, adopt, salvaged, reload, signal, transfer.
	Verb   string `json:"verb"`
	Stream string `json:"stream,omitempty"`
	// By names the person or the signal, for the history.
	By string `json:"by"`
	// ID names a failover request, so that passing it on twice makes one; "": the watchdog that takes it makes one up.
	ID string `json:"id,omitempty"`
	// Site is the target's, of a failover (any) or switchover, the primary's, of adopt, and where a former primary is made
	// anew, of rejoin (its own); AllowLoss refines failover.
	Site      string `json:"site,omitempty"`
	AllowLoss bool   `json:"allow_loss,omitempty"`
	// Abandon gives up the target at Site of a running failover, instead of beginning one.
	Abandon bool `json:"abandon,omitempty"`
	// DryRun has switchover and adopt only say what they would do. DeadlineMS limits the time of a switchover until its
	// promotion; 0: no limit.
	DryRun     bool  `json:"dry_run,omitempty"`
	DeadlineMS int64 `json:"deadline_ms,omitempty"`
	// Version is the hold's version that a hold or resume was decided on; nil: whatever it is.
	Version *uint64 `json:"version,omitempty"`
	// Approval is what the person who approves was shown (epoch, target, loss); nil: whatever waits.
	Approval *policy.Approval `json:"approval,omitempty"`
	// Node is the watchdog that leadership is transferred to.
	Node string `json:"node,omitempty"`
	// Epoch, Member and Tail are what was archived of a former primary from a copy of its store, for verb salvaged.
	Epoch  uint64          `json:"epoch,omitempty"`
	Member policy.MemberID `json:"member,omitzero"`
	Tail   *policy.Tail    `json:"tail,omitempty"`
	// Signal is the name for verb signal: USR1, USR2, HUP, TERM.
	Signal string `json:"signal,omitempty"`
}

// Response is the outcome of an admin command.
type Response struct {
	// Outcome is done, refused, failed or retry; the exit codes 0, 2, 1 and 75 follow it.
	Outcome string        `json:"outcome"`
	Reason  policy.Reason `json:"reason"`
	// Streams tells for each stream what became of it, for failover.
	Streams map[string]policy.Reason `json:"streams,omitempty"`
	// Epoch is that of the switchover that was begun.
	Epoch uint64 `json:"epoch,omitempty"`
	// Adoption tells what becomes, or would become, of each member, for adopt.
	Adoption *policy.Adoption `json:"adoption,omitempty"`
	// Problems are those of a config file that a reload refused, one each, "file:line:column: ..." where they have a place;
	// the exit code is then 78.
	Problems []string `json:"problems,omitempty"`
}

// The outcomes of a Response.
const (
	OutcomeDone    = "done"
	OutcomeRefused = "refused"
	OutcomeFailed  = "failed"
	OutcomeRetry   = "retry"
)

// Source is the watchdog as the read-only API sees it.
type Source interface {
	Status(ctx context.Context) (Status, error)
	History(ctx context.Context) ([]policy.Entry, error)
	Health() Health
}

// Commander takes admin commands.
type Commander interface {
	Do(ctx context.Context, r Request) Response
}

// Timeout limits one admin command: an override is tried for policy.OverrideLasts, and a failover goes on after it.
const Timeout = 30 * time.Second
