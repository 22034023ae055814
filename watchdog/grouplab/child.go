package grouplab

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/understudy-ha/understudy/watchdog"
	"github.com/understudy-ha/understudy/watchdog/config"
	"github.com/understudy-ha/understudy/watchdog/natslab"
)

// envWatchdog names the config file of the watchdog that this process is to be.
const envWatchdog = "UNDERSTUDY_LAB_WATCHDOG"

// RunIfChild turns the process into a server or a watchdog of a lab and never returns, when a lab started it as one.
// Otherwise it does nothing. It must come first in main and in the TestMain of every package that starts a group.
func RunIfChild() {
	natslab.RunIfChild()
	file := os.Getenv(envWatchdog)
	if file == "" {
		return
	}
	go natslab.ExitWithParent()
	if err := runWatchdog(file); err != nil {
		fmt.Fprintln(os.Stderr, "lab watchdog:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func runWatchdog(file string) error {
	c, err := config.Load(file)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return watchdog.Run(context.Background(), watchdog.Options{Config: c, ConfigFile: file, Log: log, Version: "lab"})
}
