package watchdog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/understudy-ha/understudy/election"
	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
)

// Do carries out an admin command, here if it is of this node, else at the leader. While there is no leader it tries
// on, as long as an override would be tried.
func (s *service) Do(ctx context.Context, r api.Request) api.Response {
	switch r.Verb {
	case "reload":
		return s.reload()
	case "signal":
		return s.signalCommand(ctx, r)
	case "hold", "resume", "approve", "failover", "adopt", "transfer", "switchover", "rejoin", "salvaged":
	default:
		return failed(fmt.Errorf("command %q is not known", r.Verb))
	}
	if r.Verb == api.VerbFailover && r.ID == "" {
		r.ID = fmt.Sprintf("%s at %s", r.By, time.Now().UTC().Format(time.RFC3339Nano))
	}
	return s.forward(ctx, r)
}

// forward tries the leader until it answers, or the time of an override is over.
func (s *service) forward(ctx context.Context, r api.Request) api.Response {
	deadline := time.Now().Add(policy.OverrideLasts)
	for {
		resp, err := s.atLeader(ctx, r)
		if err == nil {
			return resp
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			return api.Response{Outcome: api.OutcomeRetry, Reason: s.notTaken(err)}
		}
		sleep(ctx, 100*time.Millisecond)
	}
}

// notTaken says why no leader answered a command: there is none, or there is one and it is slow.
func (s *service) notTaken(err error) policy.Reason {
	leader, known := s.node.Leader()
	if !known {
		return policy.Reason{Code: policy.NoQuorum, Text: fmt.Sprintf("no leader took it within %s: %v", policy.OverrideLasts, err)}
	}
	return policy.Reason{Text: fmt.Sprintf("the leader %s has not answered within %s, and may still carry it out: %v", leader, policy.OverrideLasts, err)}
}

func (s *service) atLeader(ctx context.Context, r api.Request) (api.Response, error) {
	if l, ok := s.leading(); ok {
		return l.do(ctx, s, r)
	}
	leader, known := s.node.Leader()
	if !known || leader == s.o.Config.Node {
		return api.Response{}, errors.New("no leader is known")
	}
	body, err := json.Marshal(r)
	if err != nil {
		return api.Response{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, api.Timeout)
	defer cancel()
	answer, err := s.node.Call(ctx, leader, methodAdmin, body)
	if err != nil {
		return api.Response{}, err
	}
	var resp api.Response
	if err := json.Unmarshal(answer, &resp); err != nil {
		return api.Response{}, fmt.Errorf("the leader's answer: %w", err)
	}
	return resp, nil
}

// serveAdmin is the leader's side of a forwarded command.
func (s *service) serveAdmin(ctx context.Context, from string, req []byte) ([]byte, error) {
	var r api.Request
	if err := json.Unmarshal(req, &r); err != nil {
		return nil, fmt.Errorf("admin request of %s: %w", from, err)
	}
	l, ok := s.leading()
	if !ok {
		return nil, election.ErrNotLeader
	}
	resp, err := l.do(ctx, s, r)
	if err != nil {
		return nil, err
	}
	return json.Marshal(resp)
}

// do carries out a command at the leader. An error means that its outcome is not known, or that it was not taken.
func (l *live) do(ctx context.Context, s *service, r api.Request) (api.Response, error) {
	if r.Stream != "" {
		if _, ok := s.Rules().Streams[r.Stream]; !ok {
			return failed(fmt.Errorf("stream %q is not guarded", r.Stream)), nil
		}
	}
	switch r.Verb {
	case "hold", "resume":
		return l.hold(ctx, s, r)
	case "approve":
		return l.approve(ctx, s, r)
	case "adopt":
		return l.adopt(ctx, s, r)
	case "transfer":
		return l.transfer(ctx, s, r)
	case api.VerbSwitchover:
		return l.switchover(ctx, s, r)
	case api.VerbRejoin:
		return l.rejoin(ctx, s, r)
	case api.VerbSalvaged:
		return l.commit(ctx, policy.Command{Salvaged: &policy.SalvagedCommand{Stream: r.Stream, By: r.By, Member: r.Member, Epoch: r.Epoch, Tail: *r.Tail}},
			policy.Reason{Code: policy.Healthy, Text: fmt.Sprintf("the watchdogs know what %s held", r.Member)})
	}
	if r.Abandon {
		return l.commit(ctx, policy.Command{Abandon: &policy.AbandonCommand{Stream: r.Stream, Site: r.Site, By: r.By}},
			policy.Reason{Code: policy.InProgress, Text: "the target at " + r.Site + " is given up, and will be fenced when it answers; another mirror may be taken now"})
	}
	return l.failover(ctx, s, r)
}

// hold sets a hold to what is wanted. A request with a version, as a signal's is, is refused when that has changed: a
// doubled toggle must not cancel itself. Without one, what is so already is done.
func (l *live) hold(ctx context.Context, s *service, r api.Request) (api.Response, error) {
	h := &policy.HoldCommand{Stream: r.Stream, Held: r.Verb == api.VerbHold, By: r.By}
	is := s.replica.State().HoldOf(r.Stream)
	h.Version = is.Version
	if r.Version != nil {
		h.Version = *r.Version
	}
	if is.Held == h.Held && (r.Version == nil || is.Version == *r.Version+1 && is.By == r.By) { // taken before
		text := fmt.Sprintf("it was not held (since %s)", at(is))
		if is.Held {
			text = fmt.Sprintf("it is held already, by %s since %s", is.By, at(is))
		}
		return api.Response{Outcome: api.OutcomeDone, Reason: policy.Reason{Code: policy.Held, Text: text}}, nil
	}
	return l.commit(ctx, policy.Command{Hold: h}, policy.Reason{Code: policy.Held, Text: r.Verb + " by " + r.By})
}

func at(h policy.Hold) string {
	if h.At.IsZero() {
		return "the beginning"
	}
	return h.At.UTC().Format(time.RFC3339)
}

// approve consents to the failover that the policy would begin now: its target and loss as they stand.
func (l *live) approve(ctx context.Context, s *service, r api.Request) (api.Response, error) {
	state := s.replica.State()
	a := policy.Decide(s.Rules(), s.Hash(), s.o.Config.Node, state, r.Stream)
	if a.Reason.Code != policy.AwaitingApproval || len(a.Candidates) == 0 {
		return api.Response{Outcome: api.OutcomeRefused, Reason: a.Reason}, nil
	}
	best := a.Candidates[0]
	approval := policy.Approval{Epoch: state.Streams[r.Stream].Epoch + 1, Target: best.ID, Loss: best.Loss, By: r.By}
	if shown := r.Approval; shown != nil && (shown.Epoch != approval.Epoch || shown.Target != best.ID || best.Loss.AtLeast > shown.Loss.AtLeast) {
		a.Reason.Text = "what was shown has changed meanwhile, look again: " + a.Reason.Text
		return api.Response{Outcome: api.OutcomeRefused, Reason: a.Reason}, nil
	}
	text := fmt.Sprintf("failover %d to %s approved, with at least %d messages left behind", approval.Epoch, best.ID, best.Loss.AtLeast)
	return l.commit(ctx, policy.Command{Approve: &policy.ApproveCommand{Stream: r.Stream, Approval: approval}},
		policy.Reason{Code: policy.InProgress, Text: text})
}

// transfer passes leadership to a named watchdog.
func (l *live) transfer(ctx context.Context, s *service, r api.Request) (api.Response, error) {
	if r.Node != s.o.Config.Node {
		if err := s.node.Transfer(ctx, r.Node); err != nil {
			return failed(err), nil
		}
	}
	return api.Response{Outcome: api.OutcomeDone, Reason: policy.Reason{Code: policy.Healthy, Text: r.Node + " leads"}}, nil
}

func (l *live) commit(ctx context.Context, c policy.Command, done policy.Reason) (api.Response, error) {
	err := l.journal.Propose(ctx, c)
	switch {
	case errors.Is(err, policy.ErrRefused):
		return refused(err), nil
	case err != nil:
		return api.Response{}, err
	}
	return api.Response{Outcome: api.OutcomeDone, Reason: done}, nil
}

// failover logs the request and waits for what becomes of it: every named stream's outcome is in the log within the
// time that an override is tried.
func (l *live) failover(ctx context.Context, s *service, r api.Request) (api.Response, error) {
	o := policy.Override{ID: r.ID, By: r.By, Site: r.Site}
	names := s.Rules().StreamNames()
	if r.Stream != "" {
		names = []string{r.Stream}
		o.Streams, o.KeepLossLimit = names, !r.AllowLoss
	}
	if err := l.journal.Propose(ctx, policy.Command{Override: &policy.OverrideCommand{Override: o}}); err != nil {
		return api.Response{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, policy.OverrideLasts+5*time.Second)
	defer cancel()
	resp := api.Response{Outcome: api.OutcomeRefused, Streams: map[string]policy.Reason{}}
	for _, name := range names {
		reason, err := outcomeOf(ctx, s, o.ID, name)
		if err != nil {
			return api.Response{}, err
		}
		resp.Streams[name] = reason
		if reason.Code == policy.InProgress {
			resp.Outcome = api.OutcomeDone
		}
		if resp.Reason.Code == "" || reason.Code == policy.InProgress {
			resp.Reason = reason
		}
	}
	if resp.Outcome == api.OutcomeRefused {
		s.log.Warn("failover on request: nothing was done", "by", r.By, "reason", string(resp.Reason.Code), "detail", resp.Reason.Text)
	}
	return resp, nil
}

// outcomeOf waits for the outcome of one stream of a request.
func outcomeOf(ctx context.Context, s *service, id, name string) (policy.Reason, error) {
	for {
		o, known := s.replica.State().OverrideByID(id)
		if reason, answered := o.Outcomes[name]; answered {
			return reason, nil
		}
		if !known {
			return policy.Reason{}, errors.New("the log does not hold the request any more: `understudy history` tells what became of it")
		}
		if ctx.Err() != nil {
			return policy.Reason{}, ctx.Err()
		}
		sleep(ctx, 20*time.Millisecond)
	}
}

func failed(err error) api.Response {
	return api.Response{Outcome: api.OutcomeFailed, Reason: policy.Reason{Text: err.Error()}}
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
