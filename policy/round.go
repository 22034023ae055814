package policy

import (
	"cmp"
	"slices"
	"time"
)

// receivingWithin is how recent a mirror's last frame from its origin must be to prove that the origin lives:
// heartbeats come every second.
const receivingWithin = 3 * time.Second

// freshRounds is how many rounds a report may lag behind and still count: enough for one slow probe, too few for
// the report of a watchdog that slept.
const freshRounds = 3

// Agreement is what a round says of a stream's primary.
type Agreement string

// The agreements. Only AgreedDown moves the outage clock; AgreedUp resets it; the others pause it.
const (
	AgreedUp     Agreement = "up"
	AgreedDown   Agreement = "down"
	AgreedParked Agreement = "parked"
	NotAgreed    Agreement = "paused"
)

// Vote is one configured watchdog's verdict on a stream's primary in one round.
type Vote struct {
	Node     string        `json:"node"`
	Site     string        `json:"site"`
	Verdict  Verdict       `json:"verdict"`
	Evidence Evidence      `json:"evidence"`
	Via      string        `json:"via,omitempty"`
	Detail   string        `json:"detail,omitempty"`
	Age      time.Duration `json:"age"`
	Fresh    bool          `json:"fresh"`
	// Stale votes are fresh enough to count, but of an earlier round: their watchdog has not answered this one.
	Stale      bool   `json:"stale,omitempty"`
	ConfigHash string `json:"config_hash,omitempty"`
}

// MemberRound is the best that a round knows of one member.
type MemberRound struct {
	// Evidence is the best of the fresh looks; Answered and AnsweredParked mean that Now is of this round.
	Evidence Evidence `json:"evidence"`
	SeenBy   []string `json:"seen_by,omitempty"` // watchdogs with a fresh answer
	// Now is the freshest answer, when there is one; its Config is left out when State holds it already.
	Now *Snapshot `json:"now,omitempty"`
	// Best is the answer with the highest last_seq that any observer remembers of the same incarnation.
	Best *Snapshot `json:"best,omitempty"`
}

// Reachable reports whether somebody just got an answer with a leader.
func (m MemberRound) Reachable() bool { return m.Evidence == Answered || m.Evidence == AnsweredParked }

// StreamRound is one round's summary of one stream.
type StreamRound struct {
	// Elapsed is the monotonic time since the leader's round before, 0 for a term's first.
	Elapsed time.Duration `json:"elapsed"`
	// SinceUp is the time since the last round of this term that was AgreedUp, 0 when there was none.
	SinceUp   time.Duration          `json:"since_up"`
	Agreement Agreement              `json:"agreement"`
	Reason    Reason                 `json:"reason"`
	Votes     []Vote                 `json:"votes"`
	Members   map[string]MemberRound `json:"members"`
	// Receiving names the mirrors that still get frames from the primary.
	Receiving []string `json:"receiving,omitempty"`
	// LastUp names the watchdogs that are silent now and saw the primary up last, LastUpAge ago: they veto a begin, and the
	// outage is no longer than that.
	LastUp    []string      `json:"last_up,omitempty"`
	LastUpAge time.Duration `json:"last_up_age,omitempty"`
}

// Merge makes a round of one stream from the reports that the leader holds. Reports of another term, or of a probe
// that began more than freshRounds rounds ago, do not vote; what they remember of the members still serves.
func Merge(rules Rules, st StreamState, sr StreamRules, term, number uint64, reports []Report) StreamRound {
	r := StreamRound{Members: map[string]MemberRound{}}
	reports = slices.Clone(reports)
	slices.SortFunc(reports, func(a, b Report) int { return cmp.Compare(a.Node, b.Node) })
	for _, id := range watched(st, sr) {
		r.Members[id.String()] = mergeMember(st, sr, id, term, number, reports)
	}
	for _, node := range sortedKeys(rules.Watchdogs) {
		r.Votes = append(r.Votes, vote(rules, st, sr, node, term, number, reports))
	}
	r.Receiving = receiving(st, sr, r)
	r.LastUp, r.LastUpAge = lastUp(r.Votes)
	r.Agreement, r.Reason = agree(rules, st, r)
	return r
}

// lastUp finds the up votes that an earlier round brought. A watchdog that died with its site must not hold the clock up
// for as long as its last report counts; nor may what it saw be forgotten.
func lastUp(votes []Vote) (nodes []string, age time.Duration) {
	for _, v := range votes {
		if v.Verdict != Up || !v.Stale {
			continue
		}
		if nodes == nil || v.Age < age {
			age = v.Age
		}
		nodes = append(nodes, v.Node)
	}
	return nodes, age
}

func fresh(rep Report, term, number uint64) bool {
	return rep.Term == term && rep.Round+freshRounds >= number
}

// lookEvidence is the evidence of a look as it counts now: one that is older than three intervals says nothing.
func lookEvidence(l Look, interval time.Duration) Evidence {
	if l.Age > 3*interval {
		return NotLooked
	}
	return l.Evidence
}

func mergeMember(st StreamState, sr StreamRules, id MemberID, term, number uint64, reports []Report) MemberRound {
	m := MemberRound{Evidence: NotLooked}
	known := st.Members[id.String()]
	for _, rep := range reports {
		mr, ok := rep.Streams[sr.Name].Members[id.String()]
		if !ok {
			continue
		}
		if fresh(rep, term, number) {
			m.addLooks(rep.Node, mr, sr.Interval)
		}
		if mr.Last == nil || !known.Created.IsZero() && !mr.Last.Created.Equal(known.Created) {
			continue
		}
		if m.Best == nil || betterSnapshot(*mr.Last, *m.Best) {
			s := *mr.Last
			m.Best = &s
		}
	}
	m.elide(known)
	return m
}

func (m *MemberRound) addLooks(node string, mr MemberReport, interval time.Duration) {
	for _, l := range mr.Looks {
		e := lookEvidence(l, interval)
		if rankEvidence(e) < rankEvidence(m.Evidence) {
			m.Evidence = e
		}
		if e != Answered && e != AnsweredParked {
			continue
		}
		if !slices.Contains(m.SeenBy, node) {
			m.SeenBy = append(m.SeenBy, node)
		}
		if mr.Last != nil && (m.Now == nil || mr.Last.Age < m.Now.Age) {
			s := *mr.Last
			m.Now = &s
		}
	}
}

// rankEvidence orders evidence by how much it tells: an answer first, then what the server said, then silence.
func rankEvidence(e Evidence) int {
	order := []Evidence{Answered, AnsweredParked, NoLeader, NotFound, Recreated, Offline, MetaUnavailable, JetStreamOff,
		Overloaded, AuthError, PermissionDenied, NoResponders, Timeout, Disconnected, Isolated, NotLooked}
	if i := slices.Index(order, e); i >= 0 {
		return i
	}
	return len(order)
}

func betterSnapshot(a, b Snapshot) bool {
	if a.LastSeq != b.LastSeq {
		return a.LastSeq > b.LastSeq
	}
	return a.Age < b.Age
}

// elide leaves out configs that State already holds, which keeps a suspect stream's rounds small in the log.
func (m *MemberRound) elide(known MemberState) {
	for _, s := range []*Snapshot{m.Now, m.Best} {
		if s != nil && s.ConfigSum == known.ConfigSum && known.ConfigSum != "" {
			s.Config = nil
		}
	}
}

// vote is one watchdog's verdict: up on any path is up; otherwise a path that cannot tell makes it unknown; it is
// down only when every path that says anything says so. Of paths that agree, the evidence that tells most is kept: that an
// origin's servers are known to be offline must not hide behind a site that cannot be reached.
func vote(rules Rules, st StreamState, sr StreamRules, node string, term, number uint64, reports []Report) Vote {
	v := Vote{Node: node, Site: rules.Watchdogs[node], Verdict: Unknown, Evidence: NotLooked}
	i := slices.IndexFunc(reports, func(r Report) bool { return r.Node == node })
	if i < 0 || !fresh(reports[i], term, number) {
		return v
	}
	v.Fresh, v.Stale, v.ConfigHash = true, reports[i].Round < number, reports[i].ConfigHash
	known := st.Members[st.Primary.String()]
	mr := reports[i].Streams[sr.Name].Members[st.Primary.String()]
	recreated := mr.Last != nil && !known.Created.IsZero() && !mr.Last.Created.Equal(known.Created)
	for j, l := range mr.Looks {
		e := lookEvidence(l, sr.Interval)
		if recreated && (e == Answered || e == AnsweredParked) {
			e = Recreated
		}
		verdict := e.Verdict()
		if known.Deleted && e == NotFound {
			verdict = Down // by our own hand
		}
		if j == 0 || strength(verdict) > strength(v.Verdict) || verdict == v.Verdict && rankEvidence(e) < rankEvidence(v.Evidence) {
			v.Verdict, v.Evidence, v.Via, v.Detail, v.Age = verdict, e, l.Via, l.Detail, l.Age
		}
	}
	return v
}

func strength(v Verdict) int {
	return slices.Index([]Verdict{Down, Unknown, UpParked, Up}, v)
}

// receiving lists the direct mirrors of the primary that got a frame from it within receivingWithin.
func receiving(st StreamState, sr StreamRules, r StreamRound) []string {
	var names []string
	for _, id := range watched(st, sr) {
		m := r.Members[id.String()]
		if id == st.Primary || !m.Reachable() || m.Now == nil || m.Now.Mirror == nil {
			continue
		}
		if m.Now.Mirror.Name != st.Primary.Stream || !directMirror(st, sr, id, m.Now) {
			continue
		}
		if a := m.Now.Mirror.Active; a >= 0 && a+m.Now.Age < receivingWithin {
			names = append(names, id.String())
		}
	}
	return names
}

// agree applies the rules of detection to the votes of one round.
func agree(rules Rules, st StreamState, r StreamRound) (Agreement, Reason) {
	t := tally(r.Votes)
	agreed := len(t.down) >= rules.Majority() && (rules.WatchdogSites() == 1 || len(t.sites) > 1)
	switch {
	case t.recreated > 0:
		return NotAgreed, reasonf(OriginRecreated, "%s answers, but was created anew: it is not the stream that the mirrors followed", st.Primary)
	case len(t.up) > 0 && len(t.up) == len(r.LastUp) && agreed && t.parked == 0:
		return AgreedDown, lastUpReason(r, st.Primary)
	case len(t.up) > 0 && len(t.down) > 0:
		return AgreedUp, reasonf(SeenUpBy, "%s is seen up by %s, though down for %s", st.Primary, list(t.up), list(t.down))
	case len(t.up) > 0:
		return AgreedUp, reasonf(Healthy, "%s answers", st.Primary)
	case t.parked > 0:
		return AgreedParked, reasonf(Suspect, "%s answers, but is parked", st.Primary)
	case t.deleted > 0:
		return NotAgreed, reasonf(OriginDeleted, "%s was deleted: that is somebody's act, not an outage", st.Primary)
	case t.meta > 0:
		return NotAgreed, reasonf(MetaQuorumLost, "the meta group has no quorum (seen by %d watchdogs): nothing is known of %s, and nothing could be promoted", t.meta, st.Primary)
	case len(t.down) == 0:
		return NotAgreed, reasonf(Blind, "no watchdog can tell how %s is: %s", st.Primary, evidenceList(r.Votes))
	case len(t.down) < rules.Majority() && t.fresh >= rules.Majority():
		return NotAgreed, reasonf(ObserversDisagree, "%d of %d watchdogs see %s down (%s), the others that report cannot tell: %s", len(t.down), len(rules.Watchdogs), st.Primary, list(t.down), evidenceList(r.Votes))
	case len(t.down) < rules.Majority():
		return NotAgreed, reasonf(TooFewObservers, "%d of %d watchdogs see %s down (%s), %d needed", len(t.down), len(rules.Watchdogs), st.Primary, list(t.down), rules.Majority())
	case rules.WatchdogSites() > 1 && len(t.sites) < 2:
		return NotAgreed, reasonf(OneSiteOnly, "only watchdogs of site %s see %s down", list(sortedKeys(t.sites)), st.Primary)
	}
	return AgreedDown, reasonf(ThresholdPending, "%d of %d watchdogs see %s down: %s", len(t.down), len(rules.Watchdogs), st.Primary, evidenceList(r.Votes))
}

func lastUpReason(r StreamRound, primary MemberID) Reason {
	return reasonf(SeenUpBy, "%s was seen up %s ago by %s, silent since: %s", primary, r.LastUpAge.Round(time.Millisecond), list(r.LastUp), evidenceList(r.Votes))
}

type tallied struct {
	up, down                         []string
	sites                            map[string]bool
	parked, deleted, recreated, meta int
	// fresh counts the watchdogs that looked lately, whatever they saw.
	fresh int
}

func tally(votes []Vote) tallied {
	t := tallied{sites: map[string]bool{}}
	for _, v := range votes {
		if v.Fresh && v.Evidence != NotLooked {
			t.fresh++
		}
		switch {
		case v.Verdict == Up:
			t.up = append(t.up, v.Node)
		case v.Verdict == Down:
			t.down = append(t.down, v.Node)
			t.sites[v.Site] = true
		case v.Verdict == UpParked:
			t.parked++
		case v.Evidence == NotFound:
			t.deleted++
		case v.Evidence == Recreated:
			t.recreated++
		case v.Evidence == MetaUnavailable:
			t.meta++
		}
	}
	return t
}
