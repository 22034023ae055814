package policy

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// Succession is one change of a stream's primary.
type Succession struct {
	Epoch uint64   `json:"epoch"`
	From  MemberID `json:"from"`
	To    MemberID `json:"to"`
	// Fork is the highest sequence at which both can hold the same message.
	Fork uint64 `json:"fork"`
	// Seen is the highest sequence that anybody saw of From before an unplanned succession; 0 of a switchover.
	Seen uint64 `json:"seen,omitempty"`
}

// maxLineage bounds the successions that are kept.
const maxLineage = 100

// Sourcing is a stream that has a replaced primary among its sources. It follows nobody until it is re-pointed: it is halted
// (the source is taken out), what it has is read from its messages, and it is resumed after that, with the new primary as its
// source. Two writes, since a source that is exchanged in one may still take messages after its position was read.
type Sourcing struct {
	Stream  MemberID  `json:"stream"` // at the site where it was found
	Created time.Time `json:"created"`
	Epoch   uint64    `json:"epoch"` // of the succession since which it is due
	From    MemberID  `json:"from"`
	// ByHand says why it is not re-pointed by itself, though the config would have it so; "" when it is.
	ByHand string `json:"by_hand,omitempty"`
	// Former are the sources that were taken out by the halt, and what they are resumed with.
	Former []FormerSource `json:"former,omitempty"`
	Writes []Write        `json:"writes,omitempty"`
	Done   bool           `json:"done,omitempty"`
	// Waiting is why it does not go on; its code is InProgress while it does.
	Waiting Reason `json:"waiting,omitzero"`
}

// FormerSource is one source of a stream, of a primary that was replaced.
type FormerSource struct {
	Source json.RawMessage `json:"source"` // as it was
	From   MemberID        `json:"from"`
	Since  uint64          `json:"since,omitempty"` // the epoch in which we had it point to From, 0: somebody else did
	// Seq is how far it got by the word of its server, 0: that did not say.
	Seq uint64 `json:"seq,omitempty"`
	// Start is where it is resumed, 0: as it was told to at first. Beyond counts the messages of From's tail that it had taken.
	Start  uint64 `json:"start,omitempty"`
	Beyond uint64 `json:"beyond,omitempty"`
}

// Scan is a search for sourcing streams at one site.
type Scan struct {
	Epoch uint64 `json:"epoch"` // SearchEpoch then
	// Missing are streams that were not heard of: they are asked for until they answer.
	Missing []string `json:"missing,omitempty"`
}

// ListedStream is a stream that a site lists.
type ListedStream struct {
	Name    string
	Created time.Time
	Config  json.RawMessage
}

// succession is the newest one; the zero value when the primary never changed.
func (st StreamState) succession() Succession {
	if n := len(st.Lineage); n > 0 {
		return st.Lineage[n-1]
	}
	return Succession{}
}

// SearchEpoch is the epoch since which the sites are to be searched: that of the newest succession, or of an adoption after it,
// which may have followed upon the loss of the log.
func (st StreamState) SearchEpoch() uint64 { return max(st.succession().Epoch, st.Adopted) }

// SourceWork is what there is to do about the streams that source from a guarded one: sites to be searched, and streams to
// be carried on.
type SourceWork struct {
	Sites   []string
	Streams []MemberID
}

// SourcesDue says what there is to do now: nothing while an attempt runs, a hold is on, or the primary is not well.
func SourcesDue(s State, rules Rules, name string) SourceWork {
	st, known := s.Streams[name]
	if !known || st.Attempt != nil || st.SearchEpoch() == 0 || s.Held(name) || !st.primaryWell() {
		return SourceWork{}
	}
	w := SourceWork{}
	for _, site := range sortedKeys(rules.Sites) {
		if scan := st.Scans[site]; scan.Epoch < st.SearchEpoch() || len(scan.Missing) > 0 {
			w.Sites = append(w.Sites, site)
		}
	}
	for _, key := range sortedKeys(st.Sourcing) {
		if c := st.Sourcing[key]; !c.Done || c.open() {
			w.Streams = append(w.Streams, c.Stream)
		}
	}
	return w
}

func (c Sourcing) open() bool { return slices.ContainsFunc(c.Writes, Write.Open) }

// FindSources picks, of the streams that a site lists, those that take from a primary of name that was replaced.
func FindSources(rules Rules, s State, name, site string, listed []ListedStream) []Sourcing {
	l := s.lineageAt(rules, name, site)
	var found []Sourcing
	for _, stream := range listed {
		id := MemberID{Site: site, Stream: stream.Name}
		former := l.former(stream.Config)
		if len(former) == 0 {
			continue
		}
		found = append(found, Sourcing{Stream: id, Created: stream.Created, Epoch: l.st.succession().Epoch, From: former[0].From,
			ByHand: byHand(rules, stream, former), Waiting: reasonf(InProgress, "found")})
	}
	return found
}

// byHand says why a stream must not be re-pointed by us.
func byHand(rules Rules, s ListedStream, former []FormerSource) string {
	if Guards(rules, s.Name) {
		return "it is guarded itself"
	}
	for _, f := range former {
		if mustParse(f.Source)["consumer"] != nil {
			return "its source names a consumer of its own"
		}
	}
	if Sealed(s.Config) {
		return "it is sealed"
	}
	return ""
}

// Guards reports whether some guarded stream has a member of this name.
func Guards(rules Rules, stream string) bool {
	for _, sr := range rules.Streams {
		if slices.ContainsFunc(sr.Members(), func(id MemberID) bool { return id.Stream == stream }) {
			return true
		}
	}
	return false
}

// lineage is the succession of a stream's primaries as a stream at one site sees it.
type lineage struct {
	st    StreamState
	sr    StreamRules
	rules Rules
	site  string
}

func (s State) lineageAt(rules Rules, name, site string) lineage {
	return lineage{st: s.Streams[name], sr: rules.Streams[name], rules: rules, site: site}
}

// former are the sources in a config that take from a replaced primary.
func (l lineage) former(raw json.RawMessage) []FormerSource {
	since, list := uint64(0), []FormerSource(nil)
	if w := StampOf(raw).Write; w.Kind() == WriteResume {
		since = w.Epoch()
	}
	for _, src := range sourcesOf(raw) {
		if from, ok := l.formerOf(src); ok {
			list = append(list, FormerSource{Source: src, From: from, Since: since})
		}
	}
	return list
}

// formerOf is the replaced primary that a source takes from.
func (l lineage) formerOf(src json.RawMessage) (MemberID, bool) {
	for i := len(l.st.Lineage) - 1; i >= 0; i-- {
		if from := l.st.Lineage[i].From; from != l.st.Primary && l.takesFrom(src, from) {
			return from, true
		}
	}
	return MemberID{}, false
}

// takesFrom says whether a source of a stream at the site takes from a member.
func (l lineage) takesFrom(src json.RawMessage, id MemberID) bool {
	var s source
	if json.Unmarshal(src, &s) != nil || s.Name != id.Stream {
		return false
	}
	api := ""
	if s.External != nil {
		api = strings.TrimSuffix(s.External.API, ".")
	}
	return slices.Contains(l.prefixes(id), api)
}

// prefixes are the API prefixes by which a stream at the site may reach a member, the plainest first; none when that is not
// known.
func (l lineage) prefixes(id MemberID) []string {
	own, other := l.domain(l.site), l.domain(id.Site)
	switch {
	case l.site == id.Site, own == other && own != "", l.st.siteConnected(l.site, id):
		list := []string{"", "$JS.API"}
		if other != "" {
			list = append(list, "$JS."+other+".API")
		}
		return list
	case other != "":
		return []string{"$JS." + other + ".API"}
	}
	return nil
}

func (l lineage) domain(site string) string {
	if d := l.sr.Domains[site]; d != "" {
		return d
	}
	return l.rules.Sites[site].Domain
}

// siteConnected reports that a member at a site is known to share another's meta group.
func (st StreamState) siteConnected(site string, id MemberID) bool {
	for _, m := range st.Members {
		if m.ID.Site == site && st.connected(m.ID, id) {
			return true
		}
	}
	return false
}

// fork is the highest sequence up to which what a member gave, since an epoch, is what the primary holds.
func (l lineage) fork(from MemberID, since uint64) uint64 {
	fork, begun := uint64(0), false
	for _, s := range l.st.Lineage {
		switch {
		case !begun && (s.From != from || s.Epoch <= since):
		case !begun:
			fork, begun = s.Fork, true
		default:
			fork = min(fork, s.Fork)
		}
	}
	return fork
}

// revisited reports that the primary was one before: a stream may have sourced from it under the same name.
func (l lineage) revisited() bool {
	return slices.ContainsFunc(l.st.Lineage, func(s Succession) bool { return s.From == l.st.Primary })
}

// sourcing finds a stream that still takes from a member, and is to be re-pointed before that is deleted: made anew under
// its name, the member would be sourced from its beginning.
func (st StreamState) sourcing(from MemberID, sr StreamRules, asked bool) (Reason, bool) {
	for _, key := range sortedKeys(st.Sourcing) {
		c := st.Sourcing[key]
		switch {
		case c.Done || c.From != from:
		case sr.Repoint == RepointAuto && c.ByHand == "":
			return reasonf(InProgress, "%s sources from %s, and is re-pointed first", c.Stream, from), true
		case !asked:
			return reasonf(AwaitingApproval, "%s sources from %s, and would take all of it again: re-point it, or say `understudy rejoin %s`", c.Stream, from, st.Name), true
		}
	}
	if !slices.ContainsFunc(st.Lineage, func(s Succession) bool { return s.From == from }) {
		return Reason{}, false
	}
	for _, key := range sortedKeys(st.Members) {
		m := st.Members[key]
		if st.Round.Members[key].Reachable() && st.Scans[m.ID.Site].Epoch < st.succession().Epoch {
			return reasonf(InProgress, "the streams at %s are searched first for such that source from %s", m.ID.Site, from), true
		}
	}
	return Reason{}, false
}
