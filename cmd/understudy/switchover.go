package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/screen"
)

func switchoverCommand(a *app) *cobra.Command {
	var site string
	var deadline time.Duration
	var dryRun, yes bool
	cmd := &cobra.Command{
		Use:   "switchover STREAM --to SITE",
		Short: "Make the mirror at another site the primary, without losing a message",
		Long: `The primary is parked once the mirror has all but its newest messages, drained until both hold the same, and replaced; then it
is made a mirror of the new primary. Publishers get no ack for a moment, and retry. If anything fails before the promotion, or
the deadline passes, the primary gets its subjects back.

The way back after a failover is this command, once the old origin is a mirror again (` + "`understudy rejoin`" + `).`,
		Args:              args(oneStream),
		ValidArgsFunction: a.completeStreams,
		RunE: func(cmd *cobra.Command, names []string) error {
			c, s, err := a.asked(cmd.Context(), names[0])
			if err != nil {
				return err
			}
			if err := knownSite(s, "to", site); err != nil {
				return usageError(cmd, err)
			}
			if deadline < time.Second {
				return usageError(cmd, fmt.Errorf("--deadline %s: give at least 1s", deadline))
			}
			r := api.Request{Verb: api.VerbSwitchover, Stream: s.Name, Site: site, DryRun: dryRun, DeadlineMS: deadline.Milliseconds()}
			if dryRun {
				return a.doBy(cmd.Context(), c, r)
			}
			if err := a.confirm(cmd, switchoverPlan(s, site), yes); err != nil {
				return err
			}
			return a.switchOver(cmd.Context(), c, r)
		},
	}
	cmd.Flags().StringVar(&site, "to", "", "the `SITE` whose mirror is to be the primary")
	cmd.Flags().DurationVar(&deadline, "deadline", 30*time.Second, "go back unless the mirror is promoted within this time")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "say whether it could begin now, and do nothing")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	if err := cmd.MarkFlagRequired("to"); err != nil {
		panic(err) // the flag is defined above
	}
	return cmd
}

// switchoverPlan says what is about to happen.
func switchoverPlan(s api.StreamStatus, site string) string {
	p := &page{}
	for _, m := range s.Members {
		if m.Site == site {
			p.para("", fmt.Sprintf("%s is %s. This makes %s/%s (at sequence %d, %d behind) its primary instead of %s, which is deleted "+
				"and made its mirror afterwards.", s.Name, s.State, m.Site, m.Stream, m.LastSeq, m.Behind, s.Primary))
		}
	}
	return p.String()
}

// switchOver begins one, and tells its phases until it has ended.
func (a *app) switchOver(ctx context.Context, c *api.Client, r api.Request) error {
	r.By = caller()
	resp, err := c.Do(ctx, r)
	if err != nil {
		return err
	}
	switch decided, err := decision(resp); {
	case err != nil:
		return err
	case !decided:
		return fmt.Errorf("%s", screen.Clean(reasonText(resp.Reason)))
	}
	return a.followAttempt(ctx, c, r.Stream, resp.Epoch)
}

// followAttempt prints each phase of an attempt as it ends. The attempt goes on without it.
func (a *app) followAttempt(ctx context.Context, c *api.Client, stream string, epoch uint64) error {
	const every = 50 * time.Millisecond
	told := 0
	for {
		s, err := c.Stream(ctx, stream)
		if err == nil {
			for _, at := range []*policy.Attempt{s.Attempt, s.Last} {
				if at == nil || at.Epoch != epoch {
					continue
				}
				for ; told < len(at.Steps); told++ {
					step := at.Steps[told]
					fmt.Fprintf(a.stdout, "%-9s done in %6.0f ms: %s\n", step.Phase, float64(step.Took.Microseconds())/1000, screen.Clean(step.Text))
				}
				switch at.Phase {
				case policy.PhaseDone:
					fmt.Fprintf(a.stdout, "done: %s is the primary of %s now\n", at.Target, stream)
					return nil
				case policy.PhaseAborted:
					return &exit{exitFailed, fmt.Errorf("not switched over: %s; %s", screen.Clean(reasonText(at.Abort)), screen.Clean(lastText(at)))}
				}
			}
			if s.Epoch > epoch {
				return &exit{exitFailed, fmt.Errorf("another attempt has begun meanwhile: `understudy history` tells")}
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(every):
		}
	}
}

func lastText(at *policy.Attempt) string {
	if len(at.Steps) == 0 {
		return "nothing was written"
	}
	return at.Steps[len(at.Steps)-1].Text
}
