package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"
)

// completeStreams completes the names of streams in a shell, by asking the watchdog.
func (a *app) completeStreams(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	c, err := a.client()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), time.Second)
	defer cancel()
	s, err := c.Status(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return s.Names(), cobra.ShellCompDirectiveNoFileComp
}
