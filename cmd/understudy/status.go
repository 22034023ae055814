package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func statusCommand(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the watchdogs and every guarded stream",
		Args:  args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			s, err := c.Status(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(a.stdout, s)
			}
			_, err = fmt.Fprintf(a.stdout, "%+v\n", s)
			return err
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}
