package watchdog

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/policy"
)

// TestManyRoundsFitTheLog loses a site with 5,000 streams that the log does not know yet: every round is in a command,
// and none is near the 1 MiB that the log takes.
func TestManyRoundsFitTheLog(t *testing.T) {
	const n = 5000
	config := json.RawMessage(`{"name":"EVENTS","subjects":["events.>"],"description":"` + strings.Repeat("x", 400) + `"}`)
	rules := policy.Rules{Watchdogs: map[string]string{"wd-east": "east"}, Streams: map[string]policy.StreamRules{}}
	rounds := map[string]policy.StreamRound{}
	for i := range n {
		name := fmt.Sprintf("EVENTS_%04d", i)
		rules.Streams[name] = policy.StreamRules{Name: name, Origin: policy.MemberID{Site: "east", Stream: name}, Interval: time.Second}
		seen := policy.Snapshot{LastSeq: 7, Config: config}
		rounds[name] = policy.StreamRound{Agreement: policy.AgreedDown, Members: map[string]policy.MemberRound{
			"east/" + name: {Evidence: policy.Timeout, Now: &seen, Best: &seen}}}
	}
	term := &term{s: &service{replica: newReplica(), rules: rules}, number: 3, round: 9}
	state := policy.NewState()
	commands := term.worthLogging(rounds)
	for _, c := range commands {
		b, err := policy.Command{Round: c}.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > 2*maxRound {
			t.Errorf("a command of %d bytes with %d streams", len(b), len(c.Streams))
		}
		next, err := policy.Apply(state, policy.Command{Version: policy.FormatVersion, Round: c})
		if err != nil {
			t.Fatal(err)
		}
		state = next
	}
	if len(state.Streams) != n || len(commands) < 2 {
		t.Errorf("%d commands brought %d streams into the log, want %d", len(commands), len(state.Streams), n)
	}
	for name, st := range state.Streams {
		if st.Clock.Term != 3 || st.Clock.Round != 9 || st.Round.Agreement != policy.AgreedDown {
			t.Fatalf("%s: %+v %s", name, st.Clock, st.Round.Agreement)
		}
	}
}
