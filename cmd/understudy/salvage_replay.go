package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/watchdog/salvage"
)

func salvageReplay(a *app) *cobra.Command {
	var asJSON bool
	var w which
	var primary string
	j := salvage.ReplayJob{}
	cmd := &cobra.Command{
		Use:   "replay STREAM",
		Short: "Publish what an archive holds and the primary lacks",
		Long: `Publish the archived messages that the primary lacks to their original subjects, with their original headers and
Nats-Msg-Id. It may be repeated at any later time: what the primary has, or an earlier replay published, is left out. On a
stream that keeps the last messages of a subject, such as a bucket, a message is left out if the subject has a newer one.`,
		Args: args(oneStream),
		RunE: func(cmd *cobra.Command, names []string) error {
			if j.Rate < 0 {
				return usageError(cmd, errors.New("--rate is negative"))
			}
			if err := salvage.CheckFilter(j.Subject); err != nil {
				return usageError(cmd, err)
			}
			return a.withArchive(cmd.Context(), names[0], w, func(ctx context.Context, p *places, _ salvage.Found, side salvage.Side) (err error) {
				j.Archive = side
				if j.Primary, err = a.primary(ctx, p, names[0], primary); err != nil {
					return err
				}
				return a.replay(ctx, j, asJSON)
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	archiveFlags(cmd, &w, &j.Subject)
	cmd.Flags().BoolVar(&j.DryRun, "dry-run", false, "only count what would be published")
	cmd.Flags().Float64Var(&j.Rate, "rate", 0, "messages a second; 0 is as fast as can be")
	cmd.Flags().StringVar(&primary, "primary", "", "the `SITE` of the primary, if neither the watchdog nor the members tell")
	return cmd
}

// replay leaves with 1 when the primary refused messages.
func (a *app) replay(ctx context.Context, j salvage.ReplayJob, asJSON bool) error {
	bar := newProgress(a.stderr)
	j.Progress = bar.show
	r, err := salvage.Replay(ctx, j)
	bar.end()
	if asJSON && err == nil {
		err = printJSON(a.stdout, r)
	} else if !asJSON {
		_, failed := io.WriteString(a.stdout, replayPage(r, j.DryRun))
		err = errors.Join(err, failed)
	}
	if err == nil && r.Failed > 0 {
		return &exit{exitFailed, fmt.Errorf("%d messages could not be replayed", r.Failed)}
	}
	return err
}

// replayPage is the outcome for people.
func replayPage(r salvage.Replayed, dry bool) string {
	p := &page{}
	replayed := "replayed"
	if dry {
		replayed = "would be replayed"
	}
	for _, c := range []struct {
		n    uint64
		what string
	}{
		{r.Replayed, replayed}, {r.OnPrimary, "on the primary by themselves"}, {r.Already, "replayed before"},
		{r.Superseded, "left out: their subject has a newer message"}, {r.Filtered, "left out: another subject"}, {r.Failed, "failed"},
	} {
		if c.n > 0 || c.what == replayed {
			p.line("%8d  %s", c.n, c.what)
		}
	}
	for _, e := range r.Errors {
		p.para("          ", e)
	}
	return p.String()
}

// interruptible ends a long command in good order on ^C.
func interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
}
