package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// Mode says how far Understudy may go by itself. It gates only the begin of a failover.
type Mode string

// The three modes of use.
const (
	ModeAlertOnly  Mode = "alert-only"
	ModeManual     Mode = "manual"
	ModeUnattended Mode = "unattended"
)

// Release says what may be done when the origin's subjects cannot be taken away by a park.
type Release string

// ReleaseFence holds with SubjectsUnreleasable; ReleaseDelete deletes the origin stream.
const (
	ReleaseFence  Release = "fence"
	ReleaseDelete Release = "delete"
)

// Salvage says what is done with an archived tail: kept, or also published again to the new primary.
type Salvage string

// The values of Salvage.
const (
	SalvageArchive Salvage = "archive"
	SalvageReplay  Salvage = "replay"
)

// Rejoin says who turns a returned origin into a mirror of the new primary, once its tail is archived.
type Rejoin string

// The values of Rejoin.
const (
	RejoinManual Rejoin = "manual"
	RejoinAuto   Rejoin = "auto"
)

// Repoint says whether mirrors and sourcing streams that follow a replaced origin are made to follow the new primary, or
// only named.
type Repoint string

// The values of Repoint.
const (
	RepointReport Repoint = "report"
	RepointAuto   Repoint = "auto"
)

// DedupMode says whether a promotion makes the target know the message ids of the origin's deduplication window.
type DedupMode string

// The values of DedupMode.
const (
	DedupSeed DedupMode = "seed"
	DedupNone DedupMode = "none"
)

// DedupRules limit the seeding of message ids, newest first.
type DedupRules struct {
	Mode DedupMode `json:"mode"`
	// MaxIDs is for a failover, SwitchoverIDs for a switchover, whose gap it adds to.
	MaxIDs        int `json:"max_ids"`
	SwitchoverIDs int `json:"switchover_ids"`
}

// MemberID names one stream at one site. Its account is that of the guarded stream.
type MemberID struct {
	Site   string `json:"site"`
	Stream string `json:"stream"`
}

// String returns "site/stream", the key under which State keeps a member.
func (m MemberID) String() string { return m.Site + "/" + m.Stream }

// memberOf parses the key that String returns. NATS stream names hold no slash, nor do site names.
func memberOf(key string) MemberID {
	site, stream, _ := strings.Cut(key, "/")
	return MemberID{Site: site, Stream: stream}
}

// Compare orders members by site, then stream.
func (m MemberID) Compare(o MemberID) int {
	return cmp.Or(cmp.Compare(m.Site, o.Site), cmp.Compare(m.Stream, o.Stream))
}

// Rules are the parts of the config that decisions depend on; they must be equal on every watchdog. Where this node
// keeps its files, or by which address it reaches a site, is not part of them.
type Rules struct {
	// Watchdogs maps each configured watchdog to its site. Majorities are counted over it.
	Watchdogs map[string]string `json:"watchdogs"`
	// Sites holds what must be agreed on about a site.
	Sites   map[string]SiteRules   `json:"sites"`
	Streams map[string]StreamRules `json:"streams"`
	Brake   BrakeRules             `json:"brake"`
}

// SiteRules is the shared knowledge of one site.
type SiteRules struct {
	// Domain is the JetStream domain behind the site's entry point; "" is the account's default one.
	Domain string `json:"domain,omitempty"`
}

// BrakeRules limit how many site outages may be acted on automatically within a time. Max 0 means no limit.
type BrakeRules struct {
	Max int           `json:"max"`
	Per time.Duration `json:"per"`
}

// StreamRules is the policy of one guarded stream.
type StreamRules struct {
	Name    string       `json:"name"`
	Account string       `json:"account,omitempty"`
	Origin  MemberID     `json:"origin"`
	Mirrors []MirrorRule `json:"mirrors"`
	// Domains are the JetStream domains of the members' sites, as far as the config names them.
	Domains map[string]string `json:"domains,omitempty"`
	Mode    Mode              `json:"mode"`
	// Interval is the time between two scheduled rounds of this stream.
	Interval time.Duration `json:"interval"`
	// Threshold is the witnessed outage after which it counts as permanent.
	Threshold time.Duration `json:"threshold"`
	// MaxLoss is the greatest number of messages that may be missing on the target.
	MaxLoss uint64 `json:"max_loss"`
	// AllowUnknownLoss lets a failover begin although the loss cannot be estimated.
	AllowUnknownLoss bool          `json:"allow_unknown_loss,omitempty"`
	Cooldown         time.Duration `json:"cooldown"`
	Release          Release       `json:"release"`
	// Priority orders streams in a storm; the higher goes first.
	Priority int `json:"priority,omitempty"`
	// FenceAfter is the witnessed outage after which the origin is parked ahead of the threshold; 0 means never.
	FenceAfter time.Duration `json:"fence_after,omitempty"`
	Dedup      DedupRules    `json:"dedup,omitzero"`
	// ConsumersEvery is the time between two snapshots of the stream's durable consumers.
	ConsumersEvery time.Duration `json:"consumers_every,omitempty"`
	Salvage        Salvage       `json:"salvage,omitempty"`
	Rejoin         Rejoin        `json:"rejoin,omitempty"`
	Repoint        Repoint       `json:"repoint,omitempty"`
}

// MirrorRule is one configured mirror.
type MirrorRule struct {
	MemberID
	Priority     int  `json:"priority,omitempty"`
	PromoteNever bool `json:"promote_never,omitempty"`
}

// Members returns the origin and the mirrors, in the config's order.
func (r StreamRules) Members() []MemberID {
	ids := []MemberID{r.Origin}
	for _, m := range r.Mirrors {
		ids = append(ids, m.MemberID)
	}
	return ids
}

// Mirror returns the configured rule of a member; the origin of the config has the zero rule (it may serve as a
// mirror after a failover).
func (r StreamRules) Mirror(id MemberID) MirrorRule {
	for _, m := range r.Mirrors {
		if m.MemberID == id {
			return m
		}
	}
	return MirrorRule{MemberID: id}
}

// Majority is the number of watchdogs that is more than half of the configured ones.
func (r Rules) Majority() int { return len(r.Watchdogs)/2 + 1 }

// WatchdogSites counts the distinct sites that have a watchdog.
func (r Rules) WatchdogSites() int {
	sites := map[string]bool{}
	for _, s := range r.Watchdogs {
		sites[s] = true
	}
	return len(sites)
}

// StreamNames returns the guarded streams, highest priority first, then by name.
func (r Rules) StreamNames() []string {
	names := make([]string, 0, len(r.Streams))
	for n := range r.Streams {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(r.Streams[b].Priority, r.Streams[a].Priority), cmp.Compare(a, b))
	})
	return names
}

// Hash identifies the rules: equal rules have equal hashes on every watchdog. It is the hex of the first 8 bytes of
// the SHA-256 of their JSON, whose maps are sorted by encoding/json.
func (r Rules) Hash() string {
	b, err := json.Marshal(r)
	if err != nil {
		panic("policy: rules do not marshal: " + err.Error()) // only plain types: cannot happen
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}
