package main

import (
	"context"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/screen"
)

// watchStatus draws the status every second until ^C, which is how one is meant to leave.
func (a *app) watchStatus(ctx context.Context, c *api.Client, names []string, all bool) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	ask := func(ctx context.Context) (string, error) {
		s, err := statusOf(ctx, c, names)
		if err != nil {
			return "", err
		}
		return statusPage(s, screen.PaintFor(a.stdout), all || len(names) > 0), nil
	}
	return watch(ctx, tick.C, ask, a.stdout, screen.IsTerminal(a.stdout))
}

// watch draws what ask returns at once and at every tick, until ctx ends. If the first question fails, so does watch;
// later it shows the failure and goes on, since a watchdog may be restarted while one looks.
func watch(ctx context.Context, tick <-chan time.Time, ask func(context.Context) (string, error), w io.Writer, terminal bool) error {
	for first := true; ; first = false {
		text, err := ask(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && first:
			return err
		case err != nil:
			text = fmt.Sprintf("understudy: %v\n", err)
		}
		text = at(time.Now()) + ", every second; ^C ends\n" + text
		if terminal {
			text = redraw(text)
		}
		if _, err := io.WriteString(w, text); err != nil {
			return fmt.Errorf("draw: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick:
		}
	}
}

// redraw overwrites the screen from its top: clearing it first would flicker.
func redraw(text string) string {
	return "\x1b[H" + strings.ReplaceAll(text, "\n", "\x1b[K\n") + "\x1b[J"
}
