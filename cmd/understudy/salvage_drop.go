package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/watchdog/salvage"
)

func salvageDrop(a *app) *cobra.Command {
	var w which
	var primary string
	var force, yes, asJSON bool
	cmd := &cobra.Command{
		Use:   "drop STREAM",
		Short: "Delete an archive whose messages are all on the primary",
		Long: `Delete an archive. It is refused while the archive is not verified, or holds messages that are neither on the primary
nor replayed; --force deletes it all the same.`,
		Args: args(oneStream),
		RunE: func(cmd *cobra.Command, names []string) error {
			return a.withArchive(cmd.Context(), names[0], w, func(ctx context.Context, p *places, found salvage.Found, side salvage.Side) (err error) {
				var to salvage.Side
				if !force {
					if to, err = a.primary(ctx, p, names[0], primary); err != nil {
						return err
					}
				}
				if err := a.confirm(cmd, dropPlan(found, force), yes); err != nil {
					return err
				}
				if err := salvage.Drop(ctx, side, to, force); err != nil {
					return dropError(err)
				}
				if asJSON {
					return printJSON(a.stdout, map[string]string{"dropped": found.Stream, "site": found.Site})
				}
				_, err = fmt.Fprintf(a.stdout, "done: %s at %s is deleted\n", found.Stream, found.Site)
				return err
			})
		},
	}
	archiveFlags(cmd, &w, nil)
	cmd.Flags().BoolVar(&force, "force", false, "delete it although messages would be lost")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.Flags().StringVar(&primary, "primary", "", "the `SITE` of the primary, if neither the watchdog nor the members tell")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func dropPlan(f salvage.Found, force bool) string {
	p := &page{}
	what := "whose messages must all be on the primary"
	if force {
		what = "whatever it holds"
	}
	p.para("", fmt.Sprintf("This deletes %s at %s, the tail of %s beyond failover %d of %s, %s.", f.Stream, f.Site, f.Origin, f.Epoch, f.Name, what))
	return p.String()
}

// dropError turns a refusal into its exit code, and says what to do.
func dropError(err error) error {
	var unsettled *salvage.UnsettledError
	if !errors.As(err, &unsettled) {
		return err
	}
	remedy := "replay them first, or give --force"
	if unsettled.Unverified {
		remedy = "let the watchdogs finish it, or give --force"
	}
	return &exit{exitRefused, fmt.Errorf("refused: %w: %s", err, remedy)}
}
