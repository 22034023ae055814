package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/screen"
)

// stream is one stream in full.
func (p *page) stream(s api.StreamStatus) {
	p.line("%s %s: primary %s, mode %s, outage %s of %s", p.Bold(s.Name), p.state(s.State), p.Bold(s.Primary.String()), s.Mode,
		millis(s.OutageMS), millis(s.ThresholdMS))
	p.para("  ", reasonText(s.Reason))
	p.remarks(s)
	p.members(s)
	p.observers(s)
}

// state is the state's name, loud when a person is wanted.
func (p *page) state(state string) string {
	switch state {
	case api.StateHealthy:
		return p.Good(state)
	case api.StateDown, api.StateFailingOver:
		return p.Bad(strings.ToUpper(state))
	}
	return p.Warn(strings.ToUpper(state))
}

// remarks are what is worth a line only when it is so.
func (p *page) remarks(s api.StreamStatus) {
	if s.Held {
		p.para("  ", "held by "+s.HeldBy+": nothing is written to it")
	}
	if a := s.Attempt; a != nil {
		loss := ""
		if a.Kind == policy.KindFailover {
			loss = "; " + lossText(a.Loss)
		}
		p.para("  ", fmt.Sprintf("%s is at %s (%d tries)%s", attemptText(*a), a.Phase, a.Tries, loss))
	}
	if len(s.OpenWrites) > 0 {
		p.para("  ", "open writes, which may still take effect: "+writeList(s.OpenWrites))
	}
	if s.WouldHave > 0 {
		p.para("  ", fmt.Sprintf("alert-only: %d times it would have failed over", s.WouldHave))
	}
	if l := s.Last; l != nil {
		p.para("  ", fmt.Sprintf("last: %s, %s %s", attemptText(*l), l.Phase, at(l.EndedAt)))
	}
	for _, u := range s.Unread {
		p.para("  ", fmt.Sprintf("%s was deleted unread in failover %d, with at least %d messages (estimated) that nobody else has: "+
			"`understudy salvage %s --epoch %d --from-store DIR` archives them from a copy of its servers' store", u.Member, u.Epoch, u.AtLeast, s.Name, u.Epoch))
	}
	for _, c := range s.DualCapture {
		p.para("  ", captureText(c))
	}
	for _, text := range repointed(s) {
		p.para("  ", text)
	}
}

// repointed are the streams that followed a replaced primary, and what is done about them.
func repointed(s api.StreamStatus) (list []string) {
	for _, c := range s.Sourcing {
		if !c.Done {
			list = append(list, fmt.Sprintf("%s has %s among its sources, which was replaced: %s", c.Stream, c.From, c.Waiting.Text))
		}
	}
	for _, c := range s.Aftercare {
		if c.Kind == policy.CareRepoint {
			list = append(list, fmt.Sprintf("%s is to follow %s, and is at %s: %s", c.Member, s.Primary, c.Phase, c.Waiting.Text))
		}
	}
	for _, c := range s.Spares {
		list = append(list, fmt.Sprintf("%s: %s", c.ID, c.Waiting.Text))
	}
	return list
}

// attemptText names an attempt.
func attemptText(a policy.Attempt) string {
	if a.Kind == policy.KindFence {
		return fmt.Sprintf("%s %d of %s", a.Kind, a.Epoch, a.From)
	}
	return fmt.Sprintf("%s %d from %s to %s", a.Kind, a.Epoch, a.From, a.Target)
}

func captureText(c policy.Capture) string {
	switch {
	case c.Stored != nil && c.Stored.Messages > 0:
		return fmt.Sprintf("dual capture: %s stored %d messages (%d to %d), too, in %s until %s; they are archived", c.Member, c.Stored.Messages,
			c.Stored.First, c.Stored.Last, span(c.Stored.Span()), at(c.Stored.LastAt))
	case c.Stored != nil:
		return fmt.Sprintf("dual capture: %s could have taken messages, too, for %s until %s, and took none", c.Member,
			span(c.Exposed(c.Fenced)), at(c.Fenced))
	case c.Fenced.IsZero():
		return fmt.Sprintf("DUAL CAPTURE: %s takes messages, too, since %s (sequence %d)", c.Member, at(c.SeenAt), c.FromSeq)
	}
	return fmt.Sprintf("dual capture: %s took messages %d to %d, too, for %s until %s", c.Member, c.FromSeq+1, max(c.ToSeq, c.FromSeq),
		span(c.Fenced.Sub(c.SeenAt)), at(c.Fenced))
}

func writeList(ids []policy.WriteID) string {
	list := make([]string, len(ids))
	for i, id := range ids {
		list[i] = string(id)
	}
	return strings.Join(list, ", ")
}

func (p *page) members(s api.StreamStatus) {
	columns := []column{{head: "member", width: 26}, {head: "role"}, {head: "last seq", right: true}, {head: "behind", right: true},
		{head: "active", right: true}, {head: "can take over", width: 30}}
	var rows [][]string
	for _, m := range s.Members {
		rows = append(rows, []string{m.Site + "/" + m.Stream, m.Role, strconv.FormatUint(m.LastSeq, 10),
			strconv.FormatUint(m.Behind, 10), p.active(m), p.eligibility(m)})
	}
	p.grid(columns, rows)
}

// active is how long ago a mirror heard of its upstream.
func (p *page) active(m api.MemberStatus) string {
	if m.Role == "primary" {
		return "-"
	}
	return millis(m.ActiveMS)
}

func (p *page) eligibility(m api.MemberStatus) string {
	switch {
	case m.Role == "primary":
		if m.Evidence == policy.Answered {
			return "is the primary"
		}
		return "is the primary; " + p.Warn(string(m.Evidence))
	case m.Eligible:
		return p.Good("yes")
	}
	return p.Warn("no: " + screen.Clean(m.Reason))
}

func (p *page) observers(s api.StreamStatus) {
	columns := []column{{head: "watchdog", width: 22}, {head: "site", width: 16}, {head: "says", width: 10}, {head: "evidence"},
		{head: "age", right: true}, {head: "note", width: 24}}
	var rows [][]string
	for _, o := range s.Observers {
		rows = append(rows, []string{o.Node, o.Site, p.verdict(o.Verdict), string(o.Evidence), millis(o.AgeMS), note(o)})
	}
	p.grid(columns, rows)
}

func (p *page) verdict(v policy.Verdict) string {
	switch v {
	case policy.Up:
		return p.Good(string(v))
	case policy.Down:
		return p.Bad(string(v))
	}
	return p.Warn(string(v))
}

// note is what qualifies a verdict.
func note(o api.ObserverStatus) string {
	var notes []string
	if !o.Fresh {
		notes = append(notes, "not fresh, does not count")
	}
	if o.Via != "" && o.Verdict != policy.Up {
		notes = append(notes, "via "+o.Via)
	}
	return strings.Join(notes, "; ")
}

// details are the servers' and the client's own words, each once with the watchdogs that heard it.
func (p *page) details(s api.StreamStatus) {
	by := map[string][]string{}
	for _, o := range s.Observers {
		if o.Detail != "" {
			by[o.Detail] = append(by[o.Detail], o.Node)
		}
	}
	for _, detail := range slices.Sorted(maps.Keys(by)) {
		p.labelled("note", strings.Join(by[detail], ", ")+": "+detail)
	}
}

// brief is one line for each of many healthy streams.
func (p *page) brief(list []api.StreamStatus) {
	columns := []column{{head: "stream", width: 22}, {head: "primary", width: 22}, {head: "mode"}, {head: "last seq", right: true},
		{head: "behind", right: true}, {head: "can take over", right: true}}
	var rows [][]string
	for _, s := range list {
		var last, behind uint64
		for _, m := range s.Members {
			last, behind = max(last, m.LastSeq), max(behind, m.Behind)
		}
		rows = append(rows, []string{s.Name, s.Primary.String(), string(s.Mode), strconv.FormatUint(last, 10),
			strconv.FormatUint(behind, 10), fmt.Sprintf("%d of %d", eligible(s), mirrors(s))})
	}
	p.grid(columns, rows)
}

func mirrors(s api.StreamStatus) int {
	return len(slices.DeleteFunc(slices.Clone(s.Members), func(m api.MemberStatus) bool { return m.Role == "primary" }))
}
