package policy

import (
	"slices"
	"strings"
)

// standing is how a member's shape relates to what the log wants of it.
type standing int

const (
	asWanted   standing = iota // as it should be, or not seen
	writing                    // a logged write to it has not shown its effect yet
	repairable                 // bears an older write of ours, or none at all: put back at any later time
	foreign                    // changed by somebody else: never fought
	lost                       // bears a write that the log does not know: the log is older than the world
)

// stand judges one member by its newest logged config. Members that nobody has seen are asWanted: absence is a matter
// of evidence, not of membership.
func stand(st StreamState, id MemberID) (standing, Reason) {
	m := st.Members[id.String()]
	if !m.Recreated.IsZero() && m.Want != nil {
		return foreign, reasonf(ChangedOutside, "%s was deleted and created anew by somebody else", id)
	}
	if len(m.Config) == 0 {
		return asWanted, Reason{}
	}
	c, err := parseShape(m.Config)
	if m.Deleted {
		return standInPlace(m, c, err)
	}
	if err != nil {
		return foreign, reasonf(ChangedOutside, "%s has a config that cannot be read: %v", id, err)
	}
	shape, stamp := c.shape(), c.stamp()
	if stamp.Write != "" {
		if _, known := m.find(stamp.Write); !known && stamp.Write.Epoch() >= st.Adopted {
			return lost, reasonf(StateLost, "%s bears write %s, which the log does not know: the log was lost or restored from an old copy", id, stamp.Write)
		}
	}
	if m.Want == nil {
		return standUnwritten(st, id, shape)
	}
	return standWritten(m, shape, stamp)
}

// standInPlace judges what bears the name of a member that we deleted: a mirror that somebody made there is a mirror, a stream
// of its own may take the primary's messages.
func standInPlace(m MemberState, c shapeConfig, err error) (standing, Reason) {
	if m.Former.IsZero() || m.Created.Equal(m.Former) || err == nil && c.shape().Kind == ShapeMirror {
		return asWanted, Reason{} // or a late word of what was deleted
	}
	return foreign, reasonf(ChangedOutside, "%s was deleted by us, and somebody has made a stream in its place, %s", m.ID, c.shape())
}

func standUnwritten(st StreamState, id MemberID, shape Shape) (standing, Reason) {
	want := ShapeMirror
	if id == st.Primary {
		want = ShapeBound
	}
	if shape.Kind != want {
		return foreign, reasonf(ChangedOutside, "%s should be %s, but is %s, and not by a write of ours", id, wantText(want), shape)
	}
	return asWanted, Reason{}
}

func wantText(k ShapeKind) string {
	if k == ShapeMirror {
		return "a mirror"
	}
	return "bound to its subjects"
}

func standWritten(m MemberState, shape Shape, stamp Stamp) (standing, Reason) {
	switch {
	case shape.Equal(*m.Want), m.Abandoned > 0 && shape.Kind == ShapeMirror: // its promote may have been lost
		return asWanted, Reason{}
	case m.WantWrite == adoptedBare && stamp.Write == "":
		return foreign, reasonf(ChangedOutside, "%s was taken over as %s, and is now %s: changed by somebody else", m.ID, m.Want, shape)
	case m.WantWrite != "" && stamp.Write == m.WantWrite:
		return foreign, reasonf(ChangedOutside, "%s was left %s by write %s, and is now %s: changed by somebody else", m.ID, m.Want, m.WantWrite, shape)
	case m.WantWrite.Kind() == WriteCreate && stamp.Write == "": // nothing older of ours can stand there: that was deleted
		return foreign, reasonf(ChangedOutside, "%s was made %s by write %s, and is now %s, without its mark: made anew by somebody else", m.ID, m.Want, m.WantWrite, shape)
	case shape.Kind == ShapeMirror && m.Want.Kind != ShapeMirror && (m.Promoted == 0 || m.Retired > 0):
		return foreign, reasonf(ChangedOutside, "%s should be %s, but is %s", m.ID, m.Want, shape)
	}
	if w, ok := m.find(m.WantWrite); ok && w.Open() {
		return writing, reasonf(WriteOpen, "write %s to %s has not shown its effect", w.ID, m.ID)
	}
	return repairable, reasonf(InProgress, "%s should be %s, but is %s: an older state of ours came back", m.ID, m.Want, shape)
}

// membership is the gate: the first member that is not what the log says, in the order of their names. What is still
// to be put back counts while the member can be reached; until then it is a debt that hinders nobody.
func membership(st StreamState, sr StreamRules) (Reason, bool) {
	if reason, ok := primaryStands(st); !ok {
		return reason, false
	}
	return membersAsWanted(st, watched(st, sr), nil)
}

// primaryStands refuses a primary that somebody deleted or made anew.
func primaryStands(st StreamState) (Reason, bool) {
	switch p := st.Members[st.Primary.String()]; {
	case p.Gone:
		return reasonf(OriginDeleted, "%s was deleted by somebody: that is an act, not an outage, whatever became of its site since", st.Primary), false
	case !p.Recreated.IsZero():
		return reasonf(OriginRecreated, "%s was created anew by somebody: it is not the stream that the mirrors followed", st.Primary), false
	}
	return Reason{}, true
}

// membersStand is the membership gate inside an attempt, before a promote, a bind and an unpark. What a write of ours
// to the attempt's own members has left is the attempt's business, and so is an origin that it deleted.
func (st StreamState) membersStand(own ...MemberID) (Reason, bool) {
	if !st.Attempt.DeleteOpened {
		if reason, ok := primaryStands(st); !ok {
			return reason, false
		}
	}
	ids := watched(st, st.Attempt.Rules)
	if st.Attempt.DeleteOpened {
		ids = slices.DeleteFunc(ids, func(id MemberID) bool { return id == st.Attempt.From })
	}
	return membersAsWanted(st, ids, own)
}

// membersAsWanted refuses what somebody else changed; and what is to be put back, unless the members are own.
func membersAsWanted(st StreamState, ids, own []MemberID) (Reason, bool) {
	var debt Reason // the first one that is to be put back
	for _, id := range ids {
		switch s, reason := stand(st, id); {
		case s == foreign || s == lost:
			return reason, false
		case s == repairable && debt.Code == "" && !slices.Contains(own, id) && st.Round.Members[id.String()].Reachable():
			if debt = reason; st.Members[id.String()].Retired > 0 {
				debt.Code = DualCapture
			}
		}
	}
	return debt, debt.Code == ""
}

// directMirror reports whether a member is a mirror of the effective primary itself: by where it looks for its upstream,
// if the domains tell, since streams of other sites may bear the same name.
func directMirror(st StreamState, sr StreamRules, id MemberID, now *Snapshot) bool {
	raw := now.Config
	if raw == nil {
		raw = st.Members[id.String()].Config
	}
	shape, err := ShapeOf(raw)
	if err != nil || shape.Kind != ShapeMirror || shape.Upstream != st.Primary.Stream {
		return false
	}
	if m := st.Members[id.String()]; m.Follows != (MemberID{}) && m.Want != nil && shape.Equal(*m.Want) {
		return m.Follows == st.Primary
	}
	if direct, known := sr.upstreamIs(st.Primary, id, shape); known {
		return direct
	}
	// A mirror that followed a retired primary bears its name, and cannot be told from one of the new primary.
	for _, m := range st.Members {
		if m.Retired > 0 && m.ID.Stream == st.Primary.Stream && m.ID != st.Primary {
			return false
		}
	}
	return true
}

// upstreamIs says whether a mirror looks for its upstream where the primary lives. That is known if the config names the
// domains in question and the mirror uses a domain's own API prefix, `$JS.<domain>.API`, or none.
func (r StreamRules) upstreamIs(primary, mirror MemberID, shape Shape) (is, known bool) {
	domain, own := r.Domains[primary.Site], r.Domains[mirror.Site]
	prefix, isDomain := strings.CutPrefix(shape.External, "$JS.")
	upstream, isAPI := strings.CutSuffix(prefix, ".API")
	switch {
	case domain == "":
		return false, false
	case shape.External == "":
		return own == domain, own != ""
	}
	return upstream == domain, isDomain && isAPI
}
