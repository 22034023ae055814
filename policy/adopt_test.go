package policy

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// adopt takes over what answers now: with a site, its member as the primary.
func (p *scene) adopt(do bool, args []string) []string {
	sr := p.rules.Streams["EVENTS"]
	st := p.state.Stream(sr)
	r := Merge(p.rules, st, sr, p.term, p.round, p.reports())
	c := AdoptCommand{Stream: "EVENTS", By: "op", Epoch: st.Epoch, Rules: sr, Members: st.WithConfigs(r)}
	if len(args) > 0 {
		c.Site = args[0]
	}
	plan, err := PlanAdoption(p.state, c)
	if err != nil {
		return []string{err.Error()}
	}
	out := []string{fmt.Sprintf("primary %s, epoch %d, closes %v, ends %q", plan.Primary, plan.Epoch, plan.Closed, plan.Ends)}
	for _, m := range plan.Members {
		out = append(out, fmt.Sprintf("%s %s: %s", m.ID, m.Role, m.Text))
	}
	if !do {
		return out
	}
	return append(out, p.propose(Command{Adopt: &c})...)
}

// TestOverlap: subjects meet as the server's do.
func TestOverlap(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"events.>", "events.new", true},
		{"events.>", "events", false},
		{"events.*", "events.new.eu", false},
		{"events.*.eu", "events.new.*", true},
		{"events.a", "events.b", false},
		{">", "$devnull.east.EVENTS", true},
		{"EVENTS", "events.>", false},
	} {
		if got := overlap([]string{"x", c.a}, []string{c.b}); got != c.want {
			t.Errorf("%s and %s: %v, want %v", c.a, c.b, got, c.want)
		}
		if got := overlap([]string{c.b}, []string{c.a}); got != c.want {
			t.Errorf("%s and %s: %v, want %v", c.b, c.a, got, c.want)
		}
	}
}

// drawAdoption draws what a leader might read of members that persons have changed.
func drawAdoption(t *rapid.T, st StreamState) *AdoptCommand {
	configs := []string{`{"name":"X","subjects":["events.>"]}`, `{"name":"X","subjects":["$devnull.x"],"metadata":{"understudy.write":"3.park.1"}}`,
		`{"name":"X","mirror":{"name":"EVENTS"}}`, `{"name":"X"}`, `[]`}
	c := &AdoptCommand{Stream: "EVENTS", By: "op", Epoch: st.Epoch, Site: rapid.SampledFrom([]string{"", "", "east", "west"}).Draw(t, "site"),
		Rules: newPlay(nil).rules.Streams["EVENTS"], Members: map[string]MemberRound{}}
	for _, id := range c.Rules.Members() {
		config := rapid.SampledFrom(configs).Draw(t, "config")
		e := rapid.SampledFrom([]Evidence{Answered, Answered, AnsweredParked, NotFound, Timeout}).Draw(t, "evidence")
		r := MemberRound{Evidence: e}
		if r.Reachable() {
			r.Now = &Snapshot{Created: time.Unix(rapid.Int64Range(0, 1).Draw(t, "created"), 0).UTC(), LastSeq: 7, Config: json.RawMessage(config)}
		}
		c.Members[id.String()] = r
	}
	return c
}

// TestPlanIsWhatApplyDoes: what a person is shown is what the log then takes, and a refused one it refuses, too.
func TestPlanIsWhatApplyDoes(t *testing.T) {
	first := started(t)
	rapid.Check(t, func(t *rapid.T) {
		s := first
		for range rapid.IntRange(0, 8).Draw(t, "steps") {
			if next, err := Apply(s, drawCommand(t, s)); err == nil {
				s = next
			}
		}
		c := *drawAdoption(t, s.Streams["EVENTS"])
		plan, planned := PlanAdoption(s, c)
		next, err := Apply(s, Command{Version: FormatVersion, Adopt: &c})
		if (planned == nil) != (err == nil) {
			t.Fatalf("planned: %v, applied: %v", planned, err)
		}
		if err != nil {
			return
		}
		st := next.Streams["EVENTS"]
		if st.Primary != plan.Primary || st.Epoch != plan.Epoch || st.Attempt != nil || st.Epoch <= s.Streams["EVENTS"].Epoch {
			t.Fatalf("got primary %s, epoch %d, attempt %v, want %+v", st.Primary, st.Epoch, st.Attempt, plan)
		}
		for _, m := range plan.Members {
			if (m.Role == RolePrimary) != (m.ID == st.Primary) || (m.Role == RoleRetired) && st.Members[m.ID.String()].Retired == 0 {
				t.Fatalf("%+v, but %+v", m, st.Members[m.ID.String()])
			}
			if k, why := stand(st, m.ID); (k == lost || k == foreign) && m.Role != RoleUnseen {
				t.Fatalf("%s does not stand right after: %+v", m.ID, why)
			}
		}
	})
}
