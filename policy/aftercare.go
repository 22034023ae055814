package policy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// CareKind says why a member needs care after the primary has changed.
type CareKind string

// The kinds of care. A former primary, or a target that was given up, has its tail archived before it is made a mirror of
// the new primary; a mirror of a former primary is only made one of the new.
const (
	CareReturn  CareKind = "return"
	CareRepoint CareKind = "repoint"
)

// Aftercare is what is under way for one member since the primary has changed (design.md §7): its phases are rows of the
// phase table, from seal to rejoined.
type Aftercare struct {
	Member MemberID `json:"member"`
	Kind   CareKind `json:"kind"`
	Epoch  uint64   `json:"epoch"` // of the failover that it follows
	Phase  Phase    `json:"phase"`
	// Asked is set when a person wants the member back as a mirror, or a switchover retired it.
	Asked bool   `json:"asked,omitempty"`
	By    string `json:"by,omitempty"`
	// Tail is the account of the archive, once that was verified.
	Tail *Tail `json:"tail,omitempty"`
	// Again counts the archives that this member had in the epoch before: a late write of ours may make it return more than
	// once, as another stream.
	Again int `json:"again,omitempty"`
	// Follow is the primary that the member was created to mirror.
	Follow MemberID `json:"follow,omitzero"`
	// Spare is the further copy that stands in for the member while it is made anew; zero: there is another one.
	Spare MemberID `json:"spare,omitzero"`
	// Place is the placement that the member is to get instead of its own; nil: its own.
	Place json.RawMessage `json:"place,omitempty"`
	// Waiting is why the current phase does not go on; its code is InProgress while it does.
	Waiting Reason       `json:"waiting"`
	Steps   []StepRecord `json:"steps,omitempty"`
	BeganAt time.Time    `json:"began_at"`
}

// Of tells the archive of the care apart from those of other members, and of other times, in the epoch; it is "" for the
// first of the former primary. It is part of the archive's name, and of its subject.
func (c Aftercare) Of() string {
	var parts []string
	if c.Kind == CareRepoint {
		parts = append(parts, c.Member.Site)
	}
	if c.Again > 0 {
		parts = append(parts, fmt.Sprintf("again%d", c.Again))
	}
	return strings.Join(parts, "_")
}

// BySwitchover stands for the person who asked for a switchover, and with it for the old primary to be a mirror.
const BySwitchover = "switchover"

// Tail is the verified account of what a member held above the fork.
type Tail struct {
	// Site and Stream name the archive; Stream is "" when there was nothing to archive.
	Site   string `json:"site,omitempty"`
	Stream string `json:"stream,omitempty"`
	// Fork is the highest sequence at which the member and the new primary hold the identical message.
	Fork uint64 `json:"fork"`
	// MemberLast is the member's last sequence when it was read: a greater one later means that there is more.
	MemberLast uint64 `json:"member_last"`
	First      uint64 `json:"first,omitempty"` // sequences on the member
	Last       uint64 `json:"last,omitempty"`
	// FirstAt and LastAt are when the member stored them, by its servers' clock.
	FirstAt time.Time `json:"first_at,omitzero"`
	LastAt  time.Time `json:"last_at,omitzero"`
	// Captured are those of them that it stored after the new primary was bound.
	Captured Stored `json:"captured,omitzero"`
	Messages uint64 `json:"messages"`
	// OnPrimary counts those of them that the new primary holds as well.
	OnPrimary uint64 `json:"on_primary"`
	Bytes     uint64 `json:"bytes"`
	Digest    string `json:"digest,omitempty"` // hex SHA-256
}

// CareViews is what a step of the care of one member has read just now.
type CareViews struct {
	Member, Primary View
	// Others are those of StreamState.Others, by MemberID.String(), before a mirror is deleted.
	Others map[string]View
	// Spare is that of the spare copy, if the care has one; SpareWaited the time since this leader saw the newest open write to it first.
	Spare       View
	SpareWaited time.Duration
	// Listed says that the member's meta group lists it under its parked subject.
	Listed bool
	// Newest is the sequence of the copy that catches up, the member's or the spare's, beyond which the primary holds nothing; nil
	// when it does, or that is not known. See Views.
	Newest *uint64
	// Archive is the account of an archive that was made and verified by this step.
	Archive *Tail
	// Waited is the time since this leader saw an open delete of the member first.
	Waited time.Duration
	// Replayed is what became of the archive's messages in this step's replay.
	Replayed *Replay
	// ArchiveStands says that the archive of the logged account is there, whole, or that it needs none.
	ArchiveStands bool
}

// Cares lists the members of a stream whose care is to be begun, or carried on, now: none while an attempt runs or the
// primary is not well.
func Cares(s State, sr StreamRules) []MemberID {
	st := s.Stream(sr)
	if st.Attempt != nil || s.Held(sr.Name) || !st.primaryWell() {
		return nil
	}
	var list []MemberID
	for _, id := range watched(st, sr) {
		c, has := st.Aftercare[id.String()]
		said := c.Waiting.Code == AwaitingApproval
		waits := has && c.Phase == PhaseArchived && said && !c.Asked && sr.Rejoin != RejoinAuto && !st.grew(c)
		if has && !waits || !has && st.careOf(sr, id) != "" {
			list = append(list, id)
		}
	}
	return list
}

func (st StreamState) primaryWell() bool {
	return st.Round.Agreement == AgreedUp && st.Round.Members[st.Primary.String()].Reachable()
}

// grew reports that a member holds more than what was archived of it.
func (st StreamState) grew(c Aftercare) bool {
	now := st.Round.Members[c.Member.String()].Now
	return now != nil && c.Tail != nil && now.LastSeq > c.Tail.MemberLast
}

// careOf says which care a member needs that has none; "" none, or not now.
func (st StreamState) careOf(sr StreamRules, id MemberID) CareKind {
	m, r := st.Members[id.String()], st.Round.Members[id.String()]
	shape, err := ShapeOf(m.Config)
	switch {
	case id == st.Primary:
	case m.Retired == 0 && r.Evidence == NotFound:
		if _, late := m.openOf(WriteDelete); late && m.Follows != (MemberID{}) || m.Deleted {
			return CareRepoint
		}
	case m.Retired > 0 && m.Deleted:
		if r.Evidence == NotFound && !m.FencedAt.IsZero() || r.Evidence == NotFound && sr.Rejoin == RejoinAuto {
			return CareReturn
		}
	case m.Retired > 0 && r.Evidence == AnsweredParked && err == nil && shape.Kind == ShapeParked:
		return CareReturn
	case (m.Retired == 0 || m.Abandoned > 0) && sr.Repoint == RepointAuto && r.Reachable() && err == nil && shape.Kind == ShapeMirror && st.astray(sr, id, shape):
		return CareRepoint
	}
	return ""
}

// astray reports that a mirror follows a stream which was the primary once and is not any more.
func (st StreamState) astray(sr StreamRules, id MemberID, shape Shape) bool {
	m := st.Members[id.String()]
	direct, _ := sr.upstreamIs(st.Primary, id, shape)
	switch {
	case m.Stray > 0:
		return true
	case m.Follows != (MemberID{}):
		return m.Follows != st.Primary
	case direct && shape.Upstream == st.Primary.Stream: // it only shares a name with what was the primary
		return false
	}
	return st.Epoch > 0 && slices.ContainsFunc(sortedKeys(st.Members), func(key string) bool {
		o := st.Members[key]
		return o.ID != st.Primary && o.ID.Stream == shape.Upstream && (o.Retired > 0 || o.Follows != (MemberID{}))
	})
}
