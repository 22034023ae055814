package main

import (
	"github.com/spf13/cobra"
)

// helpCommand stands for cobra's own, which leaves by 0 when it knows no such command.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Help about any command",
		RunE: func(cmd *cobra.Command, names []string) error {
			about, rest, err := cmd.Root().Find(names)
			switch {
			case err != nil:
				return usageError(cmd.Root(), err)
			case len(rest) > 0:
				return unknownCommand(about, rest[0])
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
	}
}

// strictCompletion makes cobra's completion command refuse what it does not know.
func strictCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() != "completion" {
			continue
		}
		cmd.Args, cmd.RunE = cobra.ArbitraryArgs, needCommand
		for _, shell := range cmd.Commands() {
			shell.Args = args(cobra.NoArgs)
		}
	}
}
