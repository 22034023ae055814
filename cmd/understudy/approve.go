package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/screen"
)

func approveCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "approve STREAM",
		Short: "Consent to the failover that a stream in manual mode waits for",
		Long: `The consent holds for the target and the loss that are shown now, for 15 minutes. It ends when the origin is up again,
when another target is better, or when more would be left behind.`,
		Args:              args(oneStream),
		ValidArgsFunction: a.completeStreams,
		RunE: func(cmd *cobra.Command, names []string) error {
			c, s, err := a.asked(cmd.Context(), names[0])
			if err != nil {
				return err
			}
			best, ok := awaiting(s)
			if !ok {
				return &exit{exitRefused, fmt.Errorf("%s waits for no approval: %s", s.Name, screen.Clean(reasonText(s.Reason)))}
			}
			shown := policy.Approval{Epoch: s.Epoch + 1, Target: policy.MemberID{Site: best.Site, Stream: best.Stream}, Loss: s.Loss}
			fmt.Fprintf(a.stdout, "%s: failover %d from %s to %s; %s\n", s.Name, shown.Epoch, s.Primary,
				shown.Target, leftBehind(shown.Loss))
			return a.doBy(cmd.Context(), c, api.Request{Verb: api.VerbApprove, Stream: s.Name, Approval: &shown})
		},
	}
}
