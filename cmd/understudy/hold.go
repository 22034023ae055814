package main

import (
	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/watchdog/api"
)

func holdCommand(a *app) *cobra.Command {
	return a.holding(api.VerbHold, "Stop all writes, of the group or of one stream",
		`Nothing is written to NATS while held, the return guard included; probing and alerts go on. A running failover stops
before promote or after verify. A hold lasts until it is resumed, over restarts, too.`)
}

func resumeCommand(a *app) *cobra.Command {
	return a.holding(api.VerbResume, "End a hold, of the group or of one stream", "End what `understudy hold` or SIGUSR2 began.")
}

func (a *app) holding(verb, short, long string) *cobra.Command {
	return &cobra.Command{
		Use:               verb + " [STREAM]",
		Short:             short,
		Long:              long,
		Args:              args(cobra.MaximumNArgs(1)),
		ValidArgsFunction: a.completeStreams,
		RunE: func(cmd *cobra.Command, names []string) error {
			r := api.Request{Verb: verb}
			if len(names) == 1 {
				r.Stream = names[0]
			}
			return a.do(cmd.Context(), r)
		},
	}
}
