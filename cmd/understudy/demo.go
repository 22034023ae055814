package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/demo"
	"github.com/understudy-ha/understudy/watchdog/natslab"
	"github.com/understudy-ha/understudy/watchdog/screen"
)

func demoCommand(a *app) *cobra.Command {
	var (
		o                     demo.Options
		topology, fault, mode string
	)
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show a failover on real servers, started on this machine",
		Long: `Start sites of real nats-servers, three watchdogs and four publishers on this machine, do a fault to the origin's site,
and show what the watchdogs see, decide and do. Then every acked message is accounted for, also from a copy of the dead
origin's store. It takes half a minute, listens on loopback only, and leaves nothing behind.

With --story it goes on: the old origin returns with messages that nobody else has, is fenced, its tail is archived and
replayed, it is made a mirror, and a switchover makes it the primary again, while everybody publishes.

The exit code is 0 when the right thing happened, which is not always a failover.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Topology, o.Fault, o.Mode = natslab.Topology(topology), demo.Fault(fault), policy.Mode(mode)
			if err := o.Validate(); err != nil {
				return usageError(cmd, err)
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			ctx, out, release := guardOutput(ctx, a.stdout)
			defer release()
			o.Out, o.Colour = out, screen.PaintFor(a.stdout)
			return runDemo(ctx, o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&topology, "topology", "domains", "how the sites are joined: domains, supercluster or twocluster")
	f.IntVar(&o.Servers, "servers", 1, "nats-servers a site: 1 or 3")
	f.StringVar(&fault, "fault", "kill", "what happens to the origin: kill, shutdown, pause, partition, flap, delete or credentials")
	f.StringVar(&mode, "mode", "unattended", "the watchdogs' mode: alert-only, manual or unattended")
	f.DurationVar(&o.After, "after", demo.MinThreshold, "how long an outage is permanent")
	f.BoolVar(&o.Story, "story", false, "go on after the failover until the origin is the primary again (fault kill, shutdown, pause or partition)")
	f.BoolVar(&o.SpareLeader, "spare-leader", false, "leave the watchdogs' leadership at a surviving site")
	f.BoolVar(&o.JSON, "json", false, "print the timeline as JSON lines, and the result as the last one")
	f.BoolVar(&o.Keep, "keep", false, "keep the configs, logs and stores")
	return cmd
}

// runDemo leaves with 1 when the demo did not end as it should; that has been printed.
func runDemo(ctx context.Context, o demo.Options) error {
	r, err := demo.Run(ctx, o)
	if err == nil && !r.OK {
		return &exit{code: exitFailed}
	}
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, errNoReader) {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}
