package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/screen"
)

func adoptCommand(a *app) *cobra.Command {
	r, asJSON := api.Request{Verb: api.VerbAdopt}, false
	cmd := &cobra.Command{
		Use:   "adopt STREAM",
		Short: "Take over what somebody has changed by hand",
		Long: `Take the streams as they are now for the new state, when a stream waits with changed_outside, origin_deleted, origin_recreated
or state_lost, and what was done is meant to stay. The stream that holds the subjects becomes the primary; its mirrors are
mirrors; a primary of before, and what is parked, is fenced whenever it answers; what was deleted is forgotten until it
comes back; what nobody sees stays as it was. Holds stay, and the outage clock begins anew.

It refuses to guess: two streams with the same subjects, or none with them, must be put right first, or the primary named
with --primary; one that lacks the subjects is then bound to them. --dry-run shows what would become of each member.`,
		Args:              args(oneStream),
		ValidArgsFunction: a.completeStreams,
		RunE: func(cmd *cobra.Command, names []string) error {
			r.Stream, r.By = names[0], caller()
			return a.adopt(cmd, r, asJSON)
		},
	}
	cmd.Flags().StringVar(&r.Site, "primary", "", "the primary is the stream at this `SITE`, where the subjects do not tell")
	cmd.Flags().BoolVar(&r.DryRun, "dry-run", false, "only show what would become of each member")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// adopt asks nothing back: what cannot be taken for certain is refused.
func (a *app) adopt(cmd *cobra.Command, r api.Request, asJSON bool) error {
	c, s, err := a.asked(cmd.Context(), r.Stream)
	if err != nil {
		return err
	}
	if err := knownSite(s, "primary", r.Site); err != nil {
		return usageError(cmd, err)
	}
	resp, err := c.Do(cmd.Context(), r)
	if err != nil {
		return err
	}
	if asJSON {
		if err := printJSON(a.stdout, resp); err != nil {
			return err
		}
		return quiet(a.outcome(cmd.Context(), c, r, resp, io.Discard))
	}
	if resp.Adoption != nil {
		fmt.Fprint(a.stdout, adoptionPage(r, *resp.Adoption))
	}
	return a.outcome(cmd.Context(), c, r, resp, a.stdout)
}

// adoptionPage says what becomes, or would become, of each member.
func adoptionPage(r api.Request, plan policy.Adoption) string {
	p := &page{}
	becomes := "is the primary of"
	if r.DryRun {
		becomes = "would be the primary of"
	}
	p.line("%s %s %s, epoch %d.", plan.Primary, becomes, r.Stream, plan.Epoch)
	var rows [][]string
	for _, m := range plan.Members {
		rows = append(rows, []string{m.ID.String(), string(m.Role), screen.Clean(m.Text)})
	}
	p.grid([]column{{head: "member", width: 24}, {head: "becomes"}, {head: "since it", width: 50}}, rows)
	if plan.Ends != "" {
		p.para("", fmt.Sprintf("It ends %s, which had promoted nothing that may still come.", plan.Ends))
	}
	if len(plan.Closed) > 0 {
		p.para("", fmt.Sprintf("Writes that were open, and count as done with by your word: %s.", writeList(plan.Closed)))
	}
	return p.String()
}
