package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/user"
	"slices"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/screen"
)

// caller names who asks, for the history. Behind sudo that is the person, not root; it is a help to readers and no
// proof, since whoever may use the socket may say anything.
func caller() string {
	if name := os.Getenv("SUDO_USER"); name != "" {
		return name
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "unknown"
}

// commander is the way to a watchdog that takes commands.
func (a *app) commander() (*api.Client, error) {
	c, err := a.client()
	if err != nil {
		return nil, err
	}
	return c, c.TakesCommands()
}

// asked is a watchdog that takes commands, and what it says of the stream that one is about.
func (a *app) asked(ctx context.Context, stream string) (*api.Client, api.StreamStatus, error) {
	c, err := a.commander()
	if err != nil {
		return nil, api.StreamStatus{}, err
	}
	s, err := c.Stream(ctx, stream)
	return c, s, err
}

// do sends a command, prints its outcome, and turns it into the exit code.
func (a *app) do(ctx context.Context, r api.Request) error {
	c, err := a.commander()
	if err != nil {
		return err
	}
	return a.doBy(ctx, c, r)
}

// doBy is do for a command that has asked the watchdog something before.
func (a *app) doBy(ctx context.Context, c *api.Client, r api.Request) error {
	r.By = caller()
	resp, err := c.Do(ctx, r)
	if err != nil {
		return err
	}
	return a.outcome(ctx, c, r, resp, a.stdout)
}

// outcome prints what came of a command, and turns it into the exit code.
func (a *app) outcome(ctx context.Context, c *api.Client, r api.Request, resp api.Response, w io.Writer) error {
	if done := resp.Outcome == api.OutcomeDone; done || len(resp.Streams) > 1 { // of one stream, the error says it all
		for _, name := range slices.Sorted(maps.Keys(resp.Streams)) {
			fmt.Fprintf(w, "%s: %s\n", name, screen.Clean(reasonText(resp.Streams[name])))
		}
	}
	if resp.Outcome == api.OutcomeDone && len(resp.Streams) == 0 {
		fmt.Fprintln(w, "done:", screen.Clean(resp.Reason.Text))
	}
	if decided, err := decision(resp); decided {
		return err
	}
	if len(resp.Problems) > 0 {
		for _, p := range resp.Problems { // as they are, one a line, so that an editor finds the place
			fmt.Fprintln(a.stderr, screen.Clean(p))
		}
		return &exit{code: exitConfig}
	}
	if err := a.guarded(ctx, c, r.Stream); err != nil {
		return err
	}
	return &exit{exitFailed, fmt.Errorf("%s failed: %s", r.Verb, screen.Clean(reasonText(resp.Reason)))}
}

// decision is the exit code of a command that was done, refused, or is to be tried again; not of one that failed.
func decision(resp api.Response) (decided bool, err error) {
	switch resp.Outcome {
	case api.OutcomeDone:
		return true, nil
	case api.OutcomeRefused:
		return true, &exit{exitRefused, fmt.Errorf("refused: %s", screen.Clean(reasonText(resp.Reason)))}
	case api.OutcomeRetry:
		return true, &exit{exitRetry, fmt.Errorf("try again: %s", screen.Clean(reasonText(resp.Reason)))}
	}
	return false, nil
}

// guarded returns an *UnknownStreamError if the watchdog says that it does not guard the stream; of a watchdog that
// says nothing, nothing is known.
func (a *app) guarded(ctx context.Context, c *api.Client, stream string) error {
	if stream == "" {
		return nil
	}
	var unknown *api.UnknownStreamError
	if _, err := c.Stream(ctx, stream); errors.As(err, &unknown) {
		return unknown
	}
	return nil
}

// awaiting returns the stream's status if it waits for an approval, and the candidate that it shows.
func awaiting(s api.StreamStatus) (api.MemberStatus, bool) {
	best, ok := bestMirror(s)
	return best, ok && s.Reason.Code == policy.AwaitingApproval
}
