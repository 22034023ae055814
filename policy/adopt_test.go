package policy

import (
	"fmt"
	"slices"
	"testing"
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

// repair asks for the next move for a member outside of an attempt, if it is a debt.
func (p *scene) repair(key string) []string {
	st, id := p.state.Streams["EVENTS"], memberOf(key)
	if !slices.Contains(Debts(p.state, p.rules.Streams["EVENTS"]), id) {
		return []string{"no debt"}
	}
	m := Repair(st, "wd-west", id, id.Site, p.views().Members[key])
	if m.Kind != MoveSend {
		return []string{string(m.Kind)}
	}
	out := []string{fmt.Sprintf("send %s %s to %s via %s, again %v: %s", m.Write.ID, m.Write.Kind, m.Write.Member, m.Write.Via, m.Resend, m.Write.Shape)}
	return append(out, p.propose(Command{Open: &OpenCommand{Stream: "EVENTS", Epoch: st.Epoch, Write: m.Write}})...)
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
