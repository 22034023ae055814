package watchdog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
)

// planTries is how often a switchover is planned anew because the log moved on between the plan and its entry.
const planTries = 5

// switchover begins one, or says why it does not. It is carried out as a failover is: by the rounds, whoever leads.
func (l *live) switchover(ctx context.Context, s *service, r api.Request) (resp api.Response, err error) {
	for range planTries {
		resp, err = l.beginSwitchover(ctx, s, r)
		if !errors.Is(err, policy.ErrRefused) {
			return resp, err
		}
	}
	return refused(err), nil
}

// beginSwitchover returns policy.ErrRefused when the log has moved on since the plan was made, or knows better.
func (l *live) beginSwitchover(ctx context.Context, s *service, r api.Request) (api.Response, error) {
	state := s.replica.State()
	a, reason := policy.PlanSwitchover(s.Rules(), s.Hash(), s.o.Config.Node, l.shown(state, r.Stream), r.Stream, r.Site)
	if reason.Code != policy.InProgress || a.Epoch == 0 {
		return api.Response{Outcome: api.OutcomeRefused, Reason: reason}, nil
	}
	if r.DryRun {
		return api.Response{Outcome: api.OutcomeDone, Reason: reason}, nil
	}
	a.Trigger, a.Deadline = "command of "+r.By, time.Duration(r.DeadlineMS)*time.Millisecond
	clock := state.Streams[r.Stream].Clock
	if err := l.journal.Propose(ctx, policy.Command{Begin: &policy.BeginCommand{Stream: r.Stream, Term: clock.Term, Round: clock.Round, Attempt: a}}); err != nil {
		return api.Response{}, err
	}
	l.kick(r.Stream)
	return api.Response{Outcome: api.OutcomeDone, Reason: reason, Epoch: a.Epoch}, nil
}

// shown is the state with the newest round of a stream, logged or not: a healthy stream's may be logged long ago.
func (l *live) shown(s policy.State, name string) policy.State {
	r, ok := l.round(name)
	if !ok {
		return s
	}
	st := s.Streams[name]
	st.Round = r.StreamRound
	s.Streams = maps.Clone(s.Streams)
	s.Streams[name] = st
	return s
}

// rejoin asks that every member which waits for it be made a mirror of the primary: a former primary at another site, if one
// is named.
func (l *live) rejoin(ctx context.Context, s *service, r api.Request) (api.Response, error) {
	st := s.replica.State().Streams[r.Stream]
	var asked []string
	for _, key := range sortedNames(st.Aftercare) {
		c := st.Aftercare[key]
		if c.Asked && c.By != policy.BySwitchover && r.Site == "" || c.Kind != policy.CareReturn && r.Site != "" {
			continue
		}
		place, reason := st.PlaceAt(c.Member, r.Site)
		if reason.Code != "" {
			return api.Response{Outcome: api.OutcomeRefused, Reason: reason}, nil
		}
		cmd := &policy.CareCommand{Stream: r.Stream, Member: c.Member, Epoch: c.Epoch, Outcome: policy.OutcomeAsk, By: r.By, Place: place}
		err := l.journal.Propose(ctx, policy.Command{Care: cmd})
		if errors.Is(err, policy.ErrRefused) {
			return refused(err), nil
		}
		if err != nil {
			return api.Response{}, err
		}
		asked = append(asked, key)
	}
	if len(asked) == 0 {
		return api.Response{Outcome: api.OutcomeRefused, Reason: nothingToRejoin(st)}, nil
	}
	l.kick(r.Stream)
	text := fmt.Sprintf("%s will be made a mirror of %s", strings.Join(asked, ", "), st.Primary)
	if r.Site != "" {
		text += ", at " + r.Site
	}
	return api.Response{Outcome: api.OutcomeDone, Reason: policy.Reason{Code: policy.InProgress, Text: text}}, nil
}

// nothingToRejoin says why there is none.
func nothingToRejoin(st policy.StreamState) policy.Reason {
	for _, key := range sortedNames(st.Aftercare) {
		return policy.Reason{Code: policy.InProgress, Text: fmt.Sprintf("%s was asked for already; it is at %s: %s", key, st.Aftercare[key].Phase, st.Aftercare[key].Waiting.Text)}
	}
	for _, key := range sortedNames(st.Members) {
		if st.Members[key].Retired > 0 {
			return policy.Reason{Code: policy.Unreachable, Text: key + " is not back yet: its tail is archived when it is, and then it can rejoin"}
		}
	}
	return policy.Reason{Code: policy.Healthy, Text: "every member follows " + st.Primary.String()}
}

func refused(err error) api.Response {
	return api.Response{Outcome: api.OutcomeRefused, Reason: policy.Reason{Text: strings.TrimPrefix(err.Error(), policy.ErrRefused.Error()+": ")}}
}
