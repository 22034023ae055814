package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
)

func whyCommand(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "why STREAM",
		Short: "Say why a stream is, or is not, being failed over",
		Long: `Show the decision that stands for a stream with all its inputs: the gate that stopped, each watchdog's vote, the outage
clock, each candidate and why it may or may not be promoted, the loss, holds and open writes, and what to do next.`,
		Args:              args(cobra.ExactArgs(1)),
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
			_, err = io.WriteString(a.stdout, whyPage(s, st, paintFor(a.stdout)))
			return err
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// whyPage is the answer for people.
func whyPage(s api.Status, st api.StreamStatus, paint paint) string {
	p := &page{paint: paint}
	p.line("%s is %s, its primary is %s, its mode %s", p.bold(st.Name), p.state(st.State), p.bold(st.Primary.String()), st.Mode)
	p.line("")
	p.labelled("reason", reasonText(st.Reason))
	p.labelled("next", nextStep(st))
	p.labelled("clock", fmt.Sprintf("%s of witnessed outage; permanent after %s", millis(st.OutageMS), millis(st.ThresholdMS)))
	p.labelled("loss", fmt.Sprintf("%s would be left behind; the limit is %d", lossText(st.Loss), st.LossLimit))
	p.labelled("held", heldText(s, st))
	if len(st.OpenWrites) > 0 {
		p.labelled("writes", "open, may still take effect: "+writeList(st.OpenWrites))
	}
	if st.Attempt != nil {
		p.labelled("attempt", fmt.Sprintf("%d, from %s to %s, begun by %s, at %s: %s", st.Attempt.Epoch, st.Attempt.From, st.Attempt.Target,
			st.Attempt.By, st.Attempt.Phase, reasonText(st.Attempt.Waiting)))
	}
	for _, c := range st.DualCapture {
		p.labelled("capture", captureText(c))
	}
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

// candidates lists every mirror with its code and its reason in words.
func (p *page) candidates(s api.StreamStatus) {
	columns := []column{{head: "candidate", width: 24}, {head: "last seq", right: true}, {head: "active", right: true}, {head: "judged", width: 16}, {head: "because", width: 32}}
	var rows [][]string
	for _, m := range s.Members {
		if m.Role == "primary" {
			continue
		}
		judged := p.warn(clean(m.Reason))
		if m.Eligible {
			judged = p.good(clean(m.Reason))
		}
		rows = append(rows, []string{m.Site + "/" + m.Stream, fmt.Sprint(m.LastSeq), millis(m.ActiveMS), judged, clean(m.Text)})
	}
	p.grid(columns, rows)
}

// nextSteps say what a person can do about a reason; what the reason's own text says already is not said twice.
var nextSteps = map[policy.Code]string{
	policy.Healthy:              "nothing to do",
	policy.Suspect:              "nothing yet: the next rounds tell",
	policy.ThresholdPending:     "wait for the threshold, or `understudy failover %s` now",
	policy.Held:                 "`understudy resume` (all) or `understudy resume %s` when you are done",
	policy.ConfigMismatch:       "make the configs equal, then `understudy reload` on each watchdog",
	policy.ChangedOutside:       "put the named stream back to what it should be (`nats stream edit`); Understudy does not fight a hand",
	policy.StateLost:            "the raft store is older than the streams: restore the newest store of any watchdog",
	policy.WriteOpen:            "wait until the write shows its effect; the server that it went to may be paused",
	policy.NoQuorum:             "start or reach a majority of the watchdogs",
	policy.TooFewObservers:      "look at the watchdogs that do not report; a majority must see it",
	policy.OneSiteOnly:          "look at the watchdogs of the other sites",
	policy.ObserversDisagree:    "look at the votes below",
	policy.SeenUpBy:             "look at the network between the sites: the origin lives",
	policy.MirrorReceiving:      "nothing: the origin lives, and we cannot reach it; look at our own way there",
	policy.Blind:                "look at the logins and the network of the watchdogs (details below)",
	policy.OriginDeleted:        "if that was a mistake, recreate it or promote a mirror by hand; it is never taken for an outage",
	policy.OriginRecreated:      "the mirrors follow another stream of that name: check which one holds the data",
	policy.MetaQuorumLost:       "bring servers of the meta group back; nats-server 2.15 has $JS.API.META.RESCUE for the worst case",
	policy.NoEligibleMirror:     "look at the candidates below",
	policy.LossUnknown:          "`understudy failover %s --allow-loss` accepts an unknown loss",
	policy.LossOverLimit:        "`understudy failover %s --allow-loss` accepts it; the origin may still come back with the messages",
	policy.SubjectsUnreleasable: "see the reason; bringing the origin's servers back is the way that loses nothing",
	policy.Cooldown:             "wait, or `understudy failover %s`",
	policy.Brake:                "look at what takes the sites down, then `understudy failover %s`",
	policy.AlertOnly:            "`understudy failover %s` does it; `mode: unattended` would have",
	policy.AwaitingApproval:     "`understudy approve %s`",
	policy.TargetUnreachable:    "bring the target's site back",
	policy.InProgress:           "nothing: it goes on by itself",
	policy.DualCapture:          "nothing: the old origin is being parked",
}

func nextStep(s api.StreamStatus) string {
	step, ok := nextSteps[s.Reason.Code]
	if !ok {
		return "see the reason"
	}
	return strings.ReplaceAll(step, "%s", s.Name)
}
