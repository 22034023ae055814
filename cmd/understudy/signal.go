package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/watchdog/api"
)

func oneSignal(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("name one signal: %s", strings.Join(api.Signals(), ", "))
	}
	return nil
}

func signalCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "signal NAME",
		Short: "Do what a signal to the watchdog does: USR1, USR2, HUP, TERM",
		Long: `USR1 fails over now every stream whose origin the watchdogs agree is down; USR2 toggles the hold of the group; HUP
reloads the config; TERM hands leadership over and stops.`,
		Args:      args(oneSignal),
		ValidArgs: api.Signals(),
		RunE: func(cmd *cobra.Command, names []string) error {
			name := strings.TrimPrefix(strings.ToUpper(names[0]), "SIG")
			if !slices.Contains(api.Signals(), name) {
				return usageError(cmd, fmt.Errorf("signal %q is none of %s", names[0], strings.Join(api.Signals(), ", ")))
			}
			return a.do(cmd.Context(), api.Request{Verb: api.VerbSignal, Signal: name})
		},
	}
}
