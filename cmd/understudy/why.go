package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/screen"
)

func whyCommand(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "why STREAM",
		Short: "Say why a stream is, or is not, being failed over",
		Long: `Show the decision that stands for a stream with all its inputs: the gate that stopped, each watchdog's vote, the outage
clock, each candidate and why it may or may not be promoted, the loss, holds and open writes, and what to do next.`,
		Args:              args(oneStream),
		ValidArgsFunction: a.completeStreams,
		RunE: func(cmd *cobra.Command, names []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			s, err := c.Status(cmd.Context())
			if err != nil {
				return err
			}
			st, err := streamOf(s, names[0])
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(a.stdout, st)
			}
			_, err = io.WriteString(a.stdout, whyPage(s, st, screen.PaintFor(a.stdout)))
			return err
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// whyPage is the answer for people.
func whyPage(s api.Status, st api.StreamStatus, paint screen.Paint) string {
	p := &page{Paint: paint}
	p.line("%s is %s, its primary is %s, its mode %s", p.Bold(st.Name), p.state(st.State), p.Bold(st.Primary.String()), st.Mode)
	p.line("")
	p.labelled("reason", reasonText(st.Reason))
	p.labelled("gate", gateText(st))
	p.labelled("next", nextStep(st))
	p.labelled("clock", fmt.Sprintf("%s of witnessed outage; permanent after %s", millis(st.OutageMS), millis(st.ThresholdMS)))
	p.labelled("loss", fmt.Sprintf("%s; the limit is %d", leftBehind(st.Loss), st.LossLimit))
	p.labelled("held", heldText(s, st))
	p.labelled("writes", writesText(st))
	if st.Attempt != nil {
		p.attempt(*st.Attempt)
	}
	for _, c := range st.DualCapture {
		p.labelled("capture", captureText(c))
	}
	for _, text := range repointed(st) {
		p.labelled("repoint", text)
	}
	p.details(st)
	p.line("")
	p.observers(st)
	p.candidates(st)
	return p.String()
}

func heldText(s api.Status, st api.StreamStatus) string {
	switch {
	case s.Held:
		return "everything, by " + s.HeldBy
	case st.Held:
		return "this stream, by " + st.HeldBy
	}
	return "no"
}

func writesText(st api.StreamStatus) string {
	if len(st.OpenWrites) == 0 {
		return "none is open"
	}
	return "open, may still take effect: " + writeList(st.OpenWrites)
}

// attempt is the running failover: what it is, and how far.
func (p *page) attempt(a policy.Attempt) {
	p.labelled("attempt", fmt.Sprintf("%s, begun by %s (%s) at %s", attemptText(a), a.By, a.Trigger, at(a.BeganAt)))
	for _, step := range a.Steps {
		p.labelled("", fmt.Sprintf("%s: done in %s. %s", step.Phase, span(step.Took), step.Text))
	}
	p.labelled("", fmt.Sprintf("%s: %s (%d tries)", a.Phase, reasonText(a.Waiting), a.Tries))
}

// candidates lists every mirror with its code and its reason in words.
func (p *page) candidates(s api.StreamStatus) {
	columns := []column{{head: "candidate", width: 24}, {head: "last seq", right: true}, {head: "active", right: true}, {head: "judged", width: 16}, {head: "because", width: 32}}
	var rows [][]string
	for _, m := range s.Members {
		if m.Role == "primary" {
			continue
		}
		judged := p.Warn(screen.Clean(m.Reason))
		if m.Eligible {
			judged = p.Good(screen.Clean(m.Reason))
		}
		rows = append(rows, []string{m.Site + "/" + m.Stream, fmt.Sprint(m.LastSeq), millis(m.ActiveMS), judged, screen.Clean(m.Text)})
	}
	p.grid(columns, rows)
}
