package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// app is what every command gets: where it reads and prints, and the global flags.
type app struct {
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer

	configFile string
	addr       string
	socket     string
}

func newApp(stdin io.Reader, stdout, stderr io.Writer) *app {
	return &app{stdin: stdin, stdout: stdout, stderr: stderr}
}

// commands lists the commands in the order of the help. A new one is one more file and one more line here.
func commands(a *app) []*cobra.Command {
	return []*cobra.Command{
		runCommand(a),
		demoCommand(a),
		statusCommand(a),
		whyCommand(a),
		historyCommand(a),
		failoverCommand(a),
		switchoverCommand(a),
		rejoinCommand(a),
		approveCommand(a),
		adoptCommand(a),
		holdCommand(a),
		resumeCommand(a),
		reloadCommand(a),
		signalCommand(a),
		salvageCommand(a),
		configCommand(a),
		healthcheckCommand(a),
		versionCommand(a),
	}
}

// execute runs one command line and returns the exit code. It is the only place that prints an error.
func execute(a *app, args []string) int {
	root := rootCommand(a)
	root.SetArgs(args)
	err := root.ExecuteContext(context.Background())
	if err != nil {
		printError(a.stderr, err)
	}
	return exitCode(err)
}

func rootCommand(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "understudy",
		Short: "Automated failover watchdog for NATS JetStream mirror streams",
		Long: `Understudy watches the origin of a mirrored JetStream stream from several sites. Once its outage is agreed to be
permanent, it promotes the best mirror under a configured policy, and finishes what a failover leaves behind.

Exit codes: 0 done, 1 failed, 2 refused by policy, 64 usage, 74 damaged store, 75 try again, 78 bad
config.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       build().Version,
		RunE:          needCommand,
		Args:          cobra.ArbitraryArgs,
	}
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usageError(cmd, err) })
	root.CompletionOptions.HiddenDefaultCmd = false
	f := root.PersistentFlags()
	f.StringVar(&a.configFile, "config", "", "config `file` (else $UNDERSTUDY_CONFIG, ./understudy.yaml, /etc/understudy/understudy.yaml)")
	f.StringVar(&a.addr, "addr", "", "ask the watchdog at this `URL`, such as http://HOST:7424; reading commands only")
	f.StringVar(&a.socket, "socket", "", "talk to the admin socket at this `path`, without reading a config")
	root.AddCommand(commands(a)...)
	root.SetHelpCommand(helpCommand())
	strictCompletion(root)
	return root
}

// needCommand is what a command does that only groups others: it shows its help, or names a mistyped command.
func needCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	return unknownCommand(cmd, args[0])
}

func unknownCommand(cmd *cobra.Command, name string) error {
	err := fmt.Errorf("unknown command %q", name)
	cmd.SuggestionsMinimumDistance = 2 // two letters wrong; cobra sets it only where it refuses the command itself
	if near := cmd.SuggestionsFor(name); len(near) > 0 {
		err = fmt.Errorf("%w; did you mean %s?", err, near[0])
	}
	return usageError(cmd, err)
}
