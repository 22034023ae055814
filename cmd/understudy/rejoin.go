package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/watchdog/api"
)

func rejoinCommand(a *app) *cobra.Command {
	var (
		yes  bool
		site string
	)
	cmd := &cobra.Command{
		Use:   "rejoin STREAM",
		Short: "Make a returned origin a mirror of the new primary",
		Long: `Once the old origin's tail is archived and verified, it can be deleted and made anew, as a mirror of the new primary with its
own limits, storage, replicas and placement. ` + "`rejoin: auto`" + ` in the config does it unasked. Nothing is deleted while its
archive is not seen whole.

With --site it is made anew at another site of the same domain, placed as the member there is, under its own name: with a
switchover to it after that, a stream or bucket has its name back, wherever it lives then.`,
		Args:              args(oneStream),
		ValidArgsFunction: a.completeStreams,
		RunE: func(cmd *cobra.Command, names []string) error {
			c, s, err := a.asked(cmd.Context(), names[0])
			if err != nil {
				return err
			}
			if len(s.Aftercare) > 0 {
				if err := a.confirm(cmd, rejoinPlan(s, site), yes); err != nil {
					return err
				}
			}
			return a.doBy(cmd.Context(), c, api.Request{Verb: api.VerbRejoin, Stream: s.Name, Site: site})
		},
	}
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.Flags().StringVar(&site, "site", "", "make it anew at this site of the same domain, instead of its own")
	return cmd
}

// rejoinPlan says what is about to happen.
func rejoinPlan(s api.StreamStatus, site string) string {
	p := &page{}
	for _, c := range s.Sourcing {
		if !c.Done {
			p.para("", fmt.Sprintf("%s still sources from %s. Made anew, that would be sourced from its beginning again: re-point it first.", c.Stream, c.From))
		}
	}
	for _, c := range s.Aftercare {
		text := fmt.Sprintf("%s is at %s: %s.", c.Member, c.Phase, c.Waiting.Text)
		if t := c.Tail; t != nil && t.Messages > 0 {
			text = fmt.Sprintf("%s: %d messages that it holds beyond the failover are archived in %s at %s.", c.Member, t.Messages, t.Stream, t.Site)
		}
		p.para("", text+fmt.Sprintf(" It is deleted, and made a mirror of %s%s.", s.Primary, placedAt(site)))
	}
	return p.String()
}

// placedAt names the site that was asked for.
func placedAt(site string) string {
	if site == "" {
		return ""
	}
	return " at " + site
}
