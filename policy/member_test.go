package policy

import (
	"testing"
	"time"
)

// TestInPlaceOfADeletedMember: a mirror that somebody makes under the name of a member that we deleted is one; a stream of its own
// holds the guarded stream, since it may take the primary's messages.
func TestInPlaceOfADeletedMember(t *testing.T) {
	east, eu := memberOf("east/EVENTS"), memberOf("eu/E")
	ours, theirs := time.Unix(1, 0), time.Unix(2, 0)
	const mirror, bound = `{"name":"E","mirror":{"name":"EVENTS"}}`, `{"name":"E","subjects":["events.>"]}`
	for _, c := range []struct {
		name    string
		created time.Time
		config  string
		want    standing
	}{
		{"a late word of what was deleted", ours, mirror, asWanted},
		{"a mirror", theirs, mirror, asWanted},
		{"a stream of its own", theirs, bound, foreign},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := StreamState{Name: "EVENTS", Primary: east, Members: map[string]MemberState{}}
			m := MemberState{ID: eu, Created: ours, Config: []byte(mirror), ConfigSum: "a"}
			m.removed()
			now := &Snapshot{Created: c.created, Config: []byte(c.config), ConfigSum: "b"}
			st.Members[eu.String()] = m.learn(st, MemberRound{Evidence: Answered, Now: now}, time.Unix(3, 0))
			if got, reason := stand(st, eu); got != c.want {
				t.Errorf("stands %v (%s), want %v", got, reason.Text, c.want)
			}
		})
	}
}

// TestDeletedMoreThanOnce: what a late delete of ours removes a second time is not somebody's stream in its place, and the care that
// was about to seal it goes on to make it anew.
func TestDeletedMoreThanOnce(t *testing.T) {
	eu := memberOf("eu/E")
	st := StreamState{Name: "EVENTS", Primary: memberOf("east/EVENTS"), Members: map[string]MemberState{}}
	m := MemberState{ID: eu, Former: time.Unix(1, 0), Created: time.Unix(2, 0), Config: []byte(`{"name":"E","subjects":["other.E"]}`)}
	m.removed()
	st.Members[eu.String()] = m
	if got, reason := stand(st, eu); got != asWanted {
		t.Errorf("stands %v (%s)", got, reason.Text)
	}
	for _, phase := range []Phase{PhaseSeal, PhaseArchive} {
		st.Aftercare = map[string]Aftercare{eu.String(): {Member: eu, Kind: CareReturn, Epoch: 1, Phase: phase}}
		move := EnsureCare(st, StreamRules{}, "wd", eu, CareViews{Member: View{Evidence: NotFound}})
		if c := move.Care; c.Outcome != OutcomeDone || (phase == PhaseArchive) != (c.Tail != nil) {
			t.Errorf("at %s: %+v", phase, move)
		}
	}
}
