package policy

import (
	"cmp"
	"slices"
	"time"
)

// Candidate is one member judged as a target.
type Candidate struct {
	ID       MemberID  `json:"id"`
	Reason   Reason    `json:"reason"` // Eligible, or why not
	LastSeq  uint64    `json:"last_seq"`
	LastTime time.Time `json:"last_time"`
	Healthy  int       `json:"healthy"` // current replicas
	Priority int       `json:"priority"`
	Loss     Loss      `json:"loss"`
}

// Loss is what a promotion of one candidate would leave behind.
type Loss struct {
	// AtLeast is the origin's last sequence as last seen by any observer, less the candidate's.
	AtLeast uint64 `json:"at_least"`
	// Estimated adds to the origin's last sequence its rate times the time for which nobody had looked.
	Estimated uint64 `json:"estimated"`
	Known     bool   `json:"known"`
}

// Candidates judges every mirror of a stream by its newest logged round, the best first. The order is total and does
// not depend on the order of the input: eligible ones first, then by last_seq, last_ts, replica health, priority and
// name.
func Candidates(st StreamState, sr StreamRules) []Candidate {
	var list []Candidate
	for _, id := range watched(st, sr) {
		if id == st.Primary {
			continue
		}
		list = append(list, judge(st, sr, id))
	}
	slices.SortFunc(list, compareCandidates)
	return list
}

func compareCandidates(a, b Candidate) int {
	return cmp.Or(
		cmp.Compare(ineligible(a), ineligible(b)),
		cmp.Compare(b.LastSeq, a.LastSeq),
		b.LastTime.Compare(a.LastTime),
		cmp.Compare(b.Healthy, a.Healthy),
		cmp.Compare(b.Priority, a.Priority),
		a.ID.Compare(b.ID),
	)
}

func ineligible(c Candidate) int {
	if c.Reason.Code == Eligible {
		return 0
	}
	return 1
}

func judge(st StreamState, sr StreamRules, id MemberID) Candidate {
	round := st.Round.Members[id.String()]
	c := Candidate{ID: id, Priority: sr.Mirror(id).Priority}
	s := round.Now
	if s == nil {
		s = st.Members[id.String()].Best
	}
	if s != nil {
		c.LastSeq, c.LastTime, c.Healthy = s.LastSeq, s.LastTime, s.Current
		c.Loss = lossOf(st, s.LastSeq)
	}
	c.Reason = eligibility(st, sr, id, round)
	return c
}

func eligibility(st StreamState, sr StreamRules, id MemberID, round MemberRound) Reason {
	m := st.Members[id.String()]
	switch {
	case sr.Mirror(id).PromoteNever:
		return reasonf(PromoteNever, "the config says promote: never")
	case m.Abandoned > 0:
		return reasonf(WrongUpstream, "it was given up in failover %d, and may hold what nobody has seen", m.Abandoned)
	case m.Stray > 0:
		return reasonf(WrongUpstream, "it followed %s beyond failover %d, and is not a mirror of %s", st.formerly(m.Stray), m.Stray, st.Primary)
	case m.Retired > 0:
		return reasonf(WrongUpstream, "it was the primary until failover %d, and is not a mirror of %s", m.Retired, st.Primary)
	case round.Evidence == NoLeader:
		return reasonf(Leaderless, "it has no leader")
	case !round.Reachable() || round.Now == nil:
		return reasonf(Unreachable, "nobody reaches it: %s", round.Evidence)
	}
	if w, open := m.openExcept(); open {
		return reasonf(WriteOpen, "write %s to it is open", w.ID)
	}
	return eligibleConfig(st, sr, id, round.Now)
}

// formerly names the primary that a failover replaced.
func (st StreamState) formerly(epoch uint64) string {
	for _, key := range sortedKeys(st.Members) {
		if st.Members[key].Retired == epoch {
			return key
		}
	}
	return "the former primary"
}

// eligibleConfig judges what the candidate is made of.
func eligibleConfig(st StreamState, sr StreamRules, id MemberID, now *Snapshot) Reason {
	c, err := parseRaw(st.Members[id.String()].Config)
	if err != nil {
		return reasonf(Unreachable, "nobody has read its config")
	}
	src := c.mirror()
	switch {
	case src == nil || !directMirror(st, sr, id, now):
		return reasonf(WrongUpstream, "it is not a mirror of %s", st.Primary)
	case src.FilterSubject != "" && src.FilterSubject != ">":
		return reasonf(Filtered, "it holds only %s", src.FilterSubject)
	case len(src.SubjectTransforms) > 0 && string(src.SubjectTransforms) != "[]" && string(src.SubjectTransforms) != "null":
		return reasonf(Transformed, "it changes the subjects of what it mirrors")
	case src.OptStartSeq > 1 || src.OptStartTime != nil:
		return reasonf(StartedLate, "it began in the middle of its origin")
	case now.APILevel < 2:
		return reasonf(APILevel, "its server has API level %d; promotion needs 2 (nats-server 2.12)", now.APILevel)
	case now.Mirror == nil || now.Mirror.Active < 0 && now.LastSeq == 0:
		return reasonf(NeverSynced, "it has never had contact with its origin")
	}
	return eligibleRetention(st, c)
}

// eligibleRetention refuses what a promotion would change or empty: work queues cannot be reached by an update, and
// an interest stream without consumers is compacted away.
func eligibleRetention(st StreamState, c rawConfig) Reason {
	origin := st.Members[st.Primary.String()]
	for _, raw := range []rawConfig{c, mustParse(origin.Original), mustParse(origin.Config)} {
		retention, counter := "limits", false
		raw.get("retention", &retention)
		raw.get("allow_msg_counter", &counter)
		if retention != "limits" {
			return reasonf(Retention, "retention %s cannot be carried over safely", retention)
		}
		if counter {
			return reasonf(Retention, "a counter stream cannot be carried over: a mirror has no counters")
		}
	}
	return reasonf(Eligible, "a whole, direct mirror of %s", st.Primary)
}

// mustParse reads a logged config; an empty or unreadable one has no fields.
func mustParse(raw []byte) rawConfig {
	c, err := parseRaw(raw)
	if err != nil {
		return rawConfig{}
	}
	return c
}

// lossOf is the loss if a candidate with that last sequence were promoted.
func lossOf(st StreamState, lastSeq uint64) Loss {
	best := st.Members[st.Primary.String()].Best
	if best == nil {
		return Loss{}
	}
	l := Loss{Known: true}
	newest := st.beforeSeeds(best.LastSeq)
	if newest > lastSeq {
		l.AtLeast = newest - lastSeq
	}
	l.Estimated = l.AtLeast
	if last := newest + uint64(best.Rate*st.Clock.Blind.Seconds()); last > lastSeq {
		l.Estimated = last - lastSeq
	}
	return l
}

// beforeSeeds is the sequence of the primary's newest message, if its last sequence is one that the seeding of message ids has
// taken, and nothing was published since: mirrors hear of removed seeds with the next message only, and lack nothing.
func (st StreamState) beforeSeeds(last uint64) uint64 {
	a := st.Last
	if a == nil || a.Phase != PhaseDone || a.Target != st.Primary || a.Seed == nil || last > a.LastSeq+a.Seed.Burned {
		return last
	}
	return min(last, a.LastSeq)
}
