package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/watchdog"
	"github.com/understudy-ha/understudy/watchdog/config"
)

func runCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Run a watchdog, until SIGTERM",
		Long: `Run the watchdog that the config's node names. SIGUSR1 fails over now what is agreed to be down, SIGUSR2 toggles a
hold, SIGHUP reloads the config, SIGTERM and SIGINT hand leadership over and stop.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			signals, release := watchdog.CatchSignals() // first: while the config is read, too, a signal must not kill
			defer release()
			c, path, err := a.loadConfig()
			if err != nil {
				return err
			}
			if err := writable(c.DataDir); err != nil {
				return &exit{exitConfig, err}
			}
			level := &slog.LevelVar{}
			log := logger(a.stderr, c, level)
			for _, w := range c.Warnings() {
				log.Warn("config", "warning", w.Error())
			}
			return watchdog.Run(cmd.Context(), watchdog.Options{Config: c, ConfigFile: path, Log: log, Level: level,
				Version: build().Version, Signals: signals})
		},
	}
}

// logger writes as the config says; level follows later reloads.
func logger(w io.Writer, c *config.Config, level *slog.LevelVar) *slog.Logger {
	if err := level.UnmarshalText([]byte(c.Log.Level)); err != nil {
		level.Set(slog.LevelInfo) // the config was checked: cannot happen
	}
	o := &slog.HandlerOptions{Level: level}
	if c.Log.Format == config.LogJSON {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// writable makes the data folder if need be, and tries to write there: a watchdog that finds out later has voted in vain.
func writable(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("data_dir %s cannot be made: %w: make it, or let this user write in its parent", dir, err)
	}
	f, err := os.CreateTemp(dir, ".writable-")
	if err != nil {
		return fmt.Errorf("data_dir %s cannot be written: %w: give it to the user that runs the watchdog", dir, err)
	}
	f.Close()
	return os.Remove(f.Name())
}
