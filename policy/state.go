package policy

import (
	"encoding/json"
	"maps"
	"slices"
	"time"
)

// FormatVersion is the version of the persisted Command and State. A newer one must not be guessed at: the node
// that meets it stops.
const FormatVersion = 1

// State is all that the watchdogs agree on. It is a value: Apply returns a new one and leaves the old alone.
type State struct {
	Version int                    `json:"version"`
	Streams map[string]StreamState `json:"streams"`
	Hold    Hold                   `json:"hold"`
	// Overrides are the newest requests to fail over now, oldest first, at most maxOverrides.
	Overrides []Override `json:"overrides,omitempty"`
	// Outages are the completed failovers that the storm brake counts, oldest first: one a site and outage.
	Outages []SiteOutage `json:"outages,omitempty"`
	// History are the newest entries, oldest first, at most maxHistory.
	History []Entry `json:"history,omitempty"`
	// EntrySeq is the Seq of the newest entry ever made.
	EntrySeq uint64 `json:"entry_seq,omitempty"`
	// At is the wall time of the newest command, by its proposer's clock.
	At time.Time `json:"at"`
}

// Hold stops all writes, for everything (State) or one stream (StreamState).
type Hold struct {
	Held    bool      `json:"held"`
	Version uint64    `json:"version"` // counts the changes, so that a doubled toggle does not cancel itself
	By      string    `json:"by,omitempty"`
	At      time.Time `json:"at,omitzero"`
}

// Override is a request to fail over now every stream whose origin is agreed to be down.
type Override struct {
	// ID is made where the request arrives: one that is passed on twice is still one, and does not last longer.
	ID      string    `json:"id"`
	By      string    `json:"by"`
	At      time.Time `json:"at"`
	Streams []string  `json:"streams,omitempty"` // none: all
	Site    string    `json:"site,omitempty"`    // the wanted target site
	// KeepLossLimit leaves loss.max_messages in force: a command without --allow-loss.
	KeepLossLimit bool              `json:"keep_loss_limit,omitempty"`
	Outcomes      map[string]Reason `json:"outcomes,omitempty"`
}

// SiteOutage is one outage of one site that was acted upon.
type SiteOutage struct {
	Site string    `json:"site"`
	At   time.Time `json:"at"`
}

// Entry is one line of the history.
type Entry struct {
	Seq    uint64    `json:"seq"`
	At     time.Time `json:"at"`
	Stream string    `json:"stream,omitempty"`
	Epoch  uint64    `json:"epoch,omitempty"`
	Kind   string    `json:"kind"`
	Reason Reason    `json:"reason"`
}

const maxHistory = 500

// StreamState is what is agreed on about one guarded stream.
type StreamState struct {
	Name    string                 `json:"name"`
	Primary MemberID               `json:"primary"`
	Members map[string]MemberState `json:"members"`
	// Epoch is the number of the newest attempt, an aborted one included.
	Epoch uint64 `json:"epoch"`
	// Adopted is the epoch in which a person took over what was there, 0 if nobody did: marks of before are known, even if the
	// log does not hold their writes.
	Adopted uint64 `json:"adopted,omitempty"`
	Clock   Clock  `json:"clock"`
	// Round is the newest logged round, and what Decide judges by.
	Round   StreamRound `json:"round"`
	Attempt *Attempt    `json:"attempt,omitempty"`
	// Last is the newest finished attempt, done or aborted.
	Last     *Attempt  `json:"last,omitempty"`
	Hold     Hold      `json:"hold"`
	Approval *Approval `json:"approval,omitempty"`
	// CompletedAt is the wall time of the last completed failover, from which the cool-down counts.
	CompletedAt time.Time `json:"completed_at,omitzero"`
	// Reason is the newest decision that was logged.
	Reason Reason `json:"reason"`
	// WouldHave counts the failovers that alert-only mode kept from happening.
	WouldHave uint64 `json:"would_have,omitempty"`
	// WriteSeq numbers the opened writes.
	WriteSeq uint64 `json:"write_seq,omitempty"`
	// Aftercare is under way for these members, by MemberID.String().
	Aftercare map[string]Aftercare `json:"aftercare,omitempty"`
	// Archives are the tails that were archived and verified, oldest first.
	Archives []Archive `json:"archives,omitempty"`
	// Spares are the further copies that were made while an only sibling was made anew, by MemberID.String().
	Spares map[string]Spare `json:"spares,omitempty"`
	// Lost counts the messages that an origin was seen to hold and came back without (Archive.Short), and those that were given up
	// with one that was deleted unread (release: delete): at least so many,
	// until a copy of its store is salvaged.
	Lost uint64 `json:"lost,omitempty"`
	// Unread are those origins.
	Unread []Unread `json:"unread,omitempty"`
	// Lineage are the changes of the primary, oldest first, at most maxLineage.
	Lineage []Succession `json:"lineage,omitempty"`
	// Sourcing are the streams that have a replaced primary among their sources, by MemberID.String(); Scans says, by site,
	// when they were searched for.
	Sourcing map[string]Sourcing `json:"sourcing,omitempty"`
	Scans    map[string]Scan     `json:"scans,omitempty"`
	// DualCapture are the measured times in which a retired origin took messages, too.
	DualCapture []Capture `json:"dual_capture,omitempty"`
}

// Clock is the witnessed outage of a stream's primary.
type Clock struct {
	// Term and Round name the newest round that was applied.
	Term  uint64 `json:"term"`
	Round uint64 `json:"round"`
	// Outage is the witnessed time without the primary.
	Outage time.Duration `json:"outage"`
	// Agreed is the contiguous part of it that this term witnessed.
	Agreed time.Duration `json:"agreed"`
	// Blind is how long the primary may have lived unseen: the age of its newest answer when the outage began, and the
	// time since in which nobody could tell.
	Blind time.Duration `json:"blind"`
	// WouldHave says that alert-only mode has been counted in this outage.
	WouldHave bool `json:"would_have,omitempty"`
}

// MemberState is what is agreed on about one member. Its role follows from StreamState.Primary and Promoted.
type MemberState struct {
	ID MemberID `json:"id"`
	// Created is the member's incarnation as the log holds it; Recreated is that of a later one which took the name of
	// a primary or of a stream that we wrote.
	Created   time.Time `json:"created,omitzero"`
	Recreated time.Time `json:"recreated,omitzero"`
	// Gone says that a primary was last seen deleted, and not by us: its site's death later is no outage.
	Gone bool `json:"gone,omitempty"`
	// Config is the newest logged raw config, ConfigSum its Sum.
	Config    json.RawMessage `json:"config,omitempty"`
	ConfigSum string          `json:"config_sum,omitempty"`
	// Original is the newest config in which the member was bound to real subjects as an origin, before any park of
	// ours: what an unpark gives back and a promotion carries over.
	Original json.RawMessage `json:"original,omitempty"`
	// Best is the newest logged answer with the highest last_seq of this incarnation, without its config.
	Best *Snapshot `json:"best,omitempty"`
	// BestAt is the wall time at which Best was true.
	BestAt time.Time `json:"best_at,omitzero"`
	// Writes are all writes to the member that may still matter: the open ones, and the closed ones whose stamps a
	// late copy could bring back.
	Writes []Write `json:"writes,omitempty"`
	// Want is the shape that the log wants, and WantWrite the write that asked for it; nil as long as we never wrote.
	Want      *Shape  `json:"want,omitempty"`
	WantWrite WriteID `json:"want_write,omitempty"`
	// Promoted is the epoch of the first promote intent, 0 when there never was one. Such a stream stays watched.
	Promoted uint64 `json:"promoted,omitempty"`
	// Retired marks a former primary: fenced whenever it answers.
	Retired uint64 `json:"retired,omitempty"` // the epoch that replaced it
	// ReplacedAt is the wall time at which the primary of that epoch was seen bound.
	ReplacedAt time.Time `json:"replaced_at,omitzero"`
	// Abandoned is the failover in which a person gave this target up; it is fenced as a retired primary is.
	Abandoned uint64 `json:"abandoned,omitempty"`
	Deleted   bool   `json:"deleted,omitempty"` // by us
	// Follows is the primary that the member was made to mirror, by us; Former the incarnation that was deleted for that,
	// and Before the config that its limits, storage, replicas and placement are taken from.
	Follows MemberID        `json:"follows,omitzero"`
	Former  time.Time       `json:"former,omitzero"`
	Before  json.RawMessage `json:"before,omitempty"`
	// Stray is the failover since which the member, a mirror, follows a stream that is not the primary any more, and may hold
	// what the new primary lacks. It is no candidate until it is made anew.
	Stray uint64 `json:"stray,omitempty"`
	// ForkLimit is the highest sequence at which the member can hold what the primary holds: that of the target at its
	// promotion, the lowest of all since the member last was a whole copy. Beyond it the member may differ.
	ForkLimit uint64 `json:"fork_limit,omitempty"`
	// SharesMeta are members that an attempt found in the same meta group.
	SharesMeta []MemberID `json:"shares_meta,omitempty"`
	// FencedAt is the wall time at which a retired member was first read back parked; zero: the fence is a debt.
	FencedAt time.Time `json:"fenced_at,omitzero"`
}

// Approval is a person's consent to one attempt as it was shown.
type Approval struct {
	Epoch  uint64    `json:"epoch"` // of the attempt that it allows: StreamState.Epoch+1
	Target MemberID  `json:"target"`
	Loss   Loss      `json:"loss"`
	By     string    `json:"by"`
	At     time.Time `json:"at"`
}

// AttemptKind says what an attempt is for.
type AttemptKind string

// The kinds of attempt: a failover replaces an origin that is gone, a switchover one that lives; a fence only parks one that
// is gone, ahead of the threshold.
const (
	KindFailover   AttemptKind = "failover"
	KindSwitchover AttemptKind = "switchover"
	KindFence      AttemptKind = "fence"
)

// Attempt is one failover or switchover, from its begin to its end.
type Attempt struct {
	Epoch      uint64      `json:"epoch"`
	Kind       AttemptKind `json:"kind"`
	Phase      Phase       `json:"phase"`
	From       MemberID    `json:"from"`
	Target     MemberID    `json:"target"`
	Trigger    string      `json:"trigger"` // threshold, approval, signal, command
	By         string      `json:"by"`      // the watchdog that began it
	ConfigHash string      `json:"config_hash"`
	// Rules are frozen: a reload does not change a running attempt.
	Rules  StreamRules   `json:"rules"`
	Votes  []Vote        `json:"votes"`
	Outage time.Duration `json:"outage"`
	Loss   Loss          `json:"loss"`
	// TargetCreated and TargetSeq are the target's incarnation and last sequence as it was chosen.
	TargetCreated time.Time       `json:"target_created,omitzero"`
	TargetSeq     uint64          `json:"target_seq,omitempty"`
	Shared        bool            `json:"shared"`           // origin and target live in one meta group
	Subjects      []string        `json:"subjects"`         // to be bound
	Origin        json.RawMessage `json:"origin,omitempty"` // the origin's raw config to carry over
	// PromoteOpened is set once a promote was logged: from then on the target never changes, and abort is illegal.
	PromoteOpened bool `json:"promote_opened"`
	DeleteOpened  bool `json:"delete_opened,omitempty"`
	// Deadline is how long a switchover may take until its promote; 0: no limit.
	Deadline time.Duration `json:"deadline,omitempty"`
	// ParkOpened is set once a switchover has logged the park of its primary: from then on the subjects must go somewhere,
	// forward or back, a hold or not.
	ParkOpened bool `json:"park_opened,omitempty"`
	// FenceDebt says that the origin could not be fenced at the time, and must be as soon as it answers.
	FenceDebt bool `json:"fence_debt,omitempty"`
	// LastSeq is the target's last sequence when it stood still after the promotion; of a switchover, from its drain on, when
	// it held all that the parked primary held. Drained is the primary's own: greater, if its newest messages were removed.
	LastSeq uint64 `json:"last_seq,omitempty"`
	Drained uint64 `json:"drained,omitempty"`
	// Carried are the durable consumers that the target is to have, ConsumersAt the wall time at which they stood so, and
	// ConsumersFrozen says that they are all in the log. A finished attempt keeps the outcomes only.
	Carried         []CarriedConsumer `json:"carried,omitempty"`
	ConsumersAt     time.Time         `json:"consumers_at,omitzero"`
	ConsumersFrozen bool              `json:"consumers_frozen,omitempty"`
	Consumers       []ConsumerOutcome `json:"consumers,omitempty"`
	// Seed is what came of making the target know the origin's newest message ids; nil when that was not wanted.
	Seed *SeedRecord `json:"seed,omitempty"`
	// Waiting is why the current phase does not go on; its code is InProgress while it does.
	Waiting Reason `json:"waiting"`
	// Abort is why the attempt goes back, or went.
	Abort   Reason       `json:"abort,omitzero"`
	Tries   int          `json:"tries"`
	Steps   []StepRecord `json:"steps,omitempty"`
	BeganAt time.Time    `json:"began_at"`
	EndedAt time.Time    `json:"ended_at,omitzero"`
}

// SeedRecord is the account of a seeding of message ids.
type SeedRecord struct {
	// Seeded ids were made known; Known ones were already. LeftOut ones are not known, Why says for what reason.
	Seeded  int    `json:"seeded"`
	Known   int    `json:"known,omitempty"`
	LeftOut int    `json:"left_out,omitempty"`
	Why     string `json:"why,omitempty"`
	// Skipped says why nothing was tried, or what made it fail.
	Skipped string `json:"skipped,omitempty"`
	// Burned sequences are taken by the seeds.
	Burned uint64        `json:"burned_sequences,omitempty"`
	Took   time.Duration `json:"took,omitempty"`
}

// StepRecord is one finished phase.
type StepRecord struct {
	Phase Phase         `json:"phase"`
	Took  time.Duration `json:"took"`
	At    time.Time     `json:"at"`
	Text  string        `json:"text,omitempty"`
}

// NewState returns the empty state.
func NewState() State {
	return State{Version: FormatVersion, Streams: map[string]StreamState{}}
}

// Stream returns the state of a guarded stream, a fresh one with the config's origin as primary when the log knows
// nothing of it yet.
func (s State) Stream(r StreamRules) StreamState {
	if st, ok := s.Streams[r.Name]; ok {
		return st
	}
	return StreamState{Name: r.Name, Primary: r.Origin, Members: map[string]MemberState{}}
}

// clone copies everything that an Apply may change in place.
func (s StreamState) clone() StreamState {
	s.Members = maps.Clone(s.Members)
	if s.Members == nil {
		s.Members = map[string]MemberState{}
	}
	for k, m := range s.Members {
		m.Writes = slices.Clone(m.Writes)
		s.Members[k] = m
	}
	if s.Attempt != nil {
		a := *s.Attempt
		a.Steps = slices.Clone(a.Steps)
		s.Attempt = &a
	}
	s.DualCapture = slices.Clone(s.DualCapture)
	s.Aftercare = maps.Clone(s.Aftercare)
	if s.Aftercare == nil {
		s.Aftercare = map[string]Aftercare{}
	}
	return s
}

// watched lists the members of a stream to look at: the configured ones, and every one that the log knows to have had
// a promote intent or to have been a primary, even after a reload removed it. Sorted.
func watched(st StreamState, sr StreamRules) []MemberID {
	ids := sr.Members()
	for _, key := range sortedKeys(st.Members) {
		m := st.Members[key]
		if !slices.Contains(ids, m.ID) && (m.Promoted > 0 || m.Retired > 0 || m.ID == st.Primary) {
			ids = append(ids, m.ID)
		}
	}
	slices.SortFunc(ids, MemberID.Compare)
	return ids
}

// Watched is watched for those who must look: the members that a probe has to include.
func (s State) Watched(r StreamRules) []MemberID { return watched(s.Stream(r), r) }

// openWrites lists the open writes of a stream in the order of their opening.
func (s StreamState) openWrites() []Write {
	var open []Write
	for _, key := range sortedKeys(s.Members) {
		for _, w := range s.Members[key].Writes {
			if w.Open() {
				open = append(open, w)
			}
		}
	}
	slices.SortFunc(open, compareWrites)
	return open
}

// OpenWrites is openWrites for those who report.
func (s StreamState) OpenWrites() []Write { return s.openWrites() }

// openExcept returns an open write on the member that is of none of the kinds.
func (m MemberState) openExcept(kinds ...WriteKind) (Write, bool) {
	for _, w := range m.Writes {
		if w.Open() && !slices.Contains(kinds, w.Kind) {
			return w, true
		}
	}
	return Write{}, false
}

// openOf returns an open write on the member that is of one of the kinds.
func (m MemberState) openOf(kinds ...WriteKind) (Write, bool) {
	for _, w := range m.Writes {
		if w.Open() && slices.Contains(kinds, w.Kind) {
			return w, true
		}
	}
	return Write{}, false
}

// find returns a write of the member by its id.
func (m MemberState) find(id WriteID) (Write, bool) {
	for _, w := range m.Writes {
		if w.ID == id {
			return w, true
		}
	}
	return Write{}, false
}
