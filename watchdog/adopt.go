package watchdog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
)

// adopt has the policy take over what the watchdogs see now: not what they saw before the person asked, since that person
// may have changed it a moment ago.
func (l *live) adopt(ctx context.Context, s *service, r api.Request) (api.Response, error) {
	sr := s.Rules().Streams[r.Stream]
	round, err := l.nextRound(ctx, r.Stream, sr.Interval)
	if err != nil {
		return api.Response{Outcome: api.OutcomeRetry, Reason: policy.Reason{Code: policy.Suspect, Text: err.Error()}}, nil
	}
	state := s.replica.State()
	st := state.Stream(sr)
	c := policy.AdoptCommand{Stream: r.Stream, By: r.By, Epoch: st.Epoch, Site: r.Site, Rules: sr, Members: st.WithConfigs(round.StreamRound)}
	plan, err := policy.PlanAdoption(state, c)
	switch {
	case errors.Is(err, policy.ErrRefused):
		text := strings.TrimPrefix(err.Error(), policy.ErrRefused.Error()+": ")
		return api.Response{Outcome: api.OutcomeRefused, Reason: policy.Reason{Text: text}}, nil
	case err != nil:
		return failed(err), nil
	case r.DryRun:
		return api.Response{Outcome: api.OutcomeDone, Adoption: &plan, Reason: policy.Reason{Code: policy.Healthy, Text: "a dry run: nothing was changed"}}, nil
	}
	resp, err := l.commit(ctx, policy.Command{Adopt: &c}, policy.Reason{Code: policy.Healthy, Text: fmt.Sprintf("%s is the primary of %s", plan.Primary, r.Stream)})
	if resp.Outcome == api.OutcomeDone {
		resp.Adoption = &plan
	}
	return resp, err
}

// nextRound waits for a round of a stream that ends after now.
func (l *live) nextRound(ctx context.Context, stream string, interval time.Duration) (timedRound, error) {
	asked := time.Now()
	ctx, cancel := context.WithTimeout(ctx, 3*interval+5*time.Second)
	defer cancel()
	for {
		if r, ok := l.round(stream); ok && r.at.After(asked) {
			return r, nil
		}
		if ctx.Err() != nil {
			return timedRound{}, fmt.Errorf("this leader has not looked at %s since it was asked", stream)
		}
		sleep(ctx, 20*time.Millisecond)
	}
}
