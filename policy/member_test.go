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
			m := MemberState{ID: eu, Created: ours, Deleted: true, Config: []byte(mirror), ConfigSum: "a"}
			now := &Snapshot{Created: c.created, Config: []byte(c.config), ConfigSum: "b"}
			st.Members[eu.String()] = m.learn(st, MemberRound{Evidence: Answered, Now: now}, time.Unix(3, 0))
			if got, reason := stand(st, eu); got != c.want {
				t.Errorf("stands %v (%s), want %v", got, reason.Text, c.want)
			}
		})
	}
}
