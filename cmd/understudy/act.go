package main

import (
	"context"
	"fmt"
	"os/user"
	"slices"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
)

// caller names who asks, for the history.
func caller() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "unknown"
}

// do sends a command, prints its outcome, and turns it into the exit code.
func (a *app) do(ctx context.Context, r api.Request) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	return a.doBy(ctx, c, r)
}

func (a *app) doBy(ctx context.Context, c *api.Client, r api.Request) error {
	r.By = caller()
	resp, err := c.Do(ctx, r)
	if err != nil {
		return err
	}
	for _, name := range sortedStreams(resp) {
		fmt.Fprintf(a.stdout, "%s: %s\n", name, clean(reasonText(resp.Streams[name])))
	}
	switch resp.Outcome {
	case api.OutcomeDone:
		if len(resp.Streams) == 0 {
			fmt.Fprintln(a.stdout, "done:", clean(resp.Reason.Text))
		}
		return nil
	case api.OutcomeRefused:
		return &exit{exitRefused, fmt.Errorf("refused: %s", clean(reasonText(resp.Reason)))}
	case api.OutcomeRetry:
		return &exit{exitRetry, fmt.Errorf("try again: %s", clean(reasonText(resp.Reason)))}
	}
	return &exit{exitFailed, fmt.Errorf("%s failed: %s", r.Verb, clean(reasonText(resp.Reason)))}
}

func sortedStreams(resp api.Response) []string {
	names := make([]string, 0, len(resp.Streams))
	for n := range resp.Streams {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// awaiting returns the stream's status if it waits for an approval, and the candidate that it shows.
func awaiting(s api.StreamStatus) (api.MemberStatus, bool) {
	best, ok := bestMirror(s)
	return best, ok && s.Reason.Code == policy.AwaitingApproval
}
