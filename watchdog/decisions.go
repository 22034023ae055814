package watchdog

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/understudy-ha/understudy/policy"
)

// logDecision enters a changed reason into the log, so that "why didn't it fail over?" has an answer later, too; and
// it answers a request to fail over now, once its outcome is clear.
func (t *term) logDecision(ctx context.Context, name string, a policy.Action) error {
	state := t.s.replica.State()
	st, known := state.Streams[name]
	if !known {
		return nil
	}
	t.s.metrics.decided(name, a.Reason.Code)
	answer := t.answers(state, name, a)
	if st.Reason.Code == a.Reason.Code && answer == "" {
		return nil
	}
	d := &policy.DecisionCommand{Stream: name, Reason: a.Reason, Override: answer,
		WouldHave: a.WouldHave && st.Reason.Code != a.Reason.Code}
	err := t.journal.Propose(ctx, policy.Command{Decision: d})
	if err != nil && !errors.Is(err, policy.ErrRefused) {
		return fmt.Errorf("log decision: %w", err)
	}
	if answer != "" && a.Kind == policy.ActWait {
		t.s.log.Warn("failover on request does nothing", "request", answer, "stream", name, "reason", string(a.Reason.Code), "detail", a.Reason.Text)
	}
	return nil
}

// answers returns the id of the request that the decision answers: at once when the failover begins or the origin is
// up, else when the request's time is over.
func (t *term) answers(state policy.State, name string, a policy.Action) string {
	o := state.Override
	if o == nil || len(o.Streams) > 0 && !slices.Contains(o.Streams, name) {
		return ""
	}
	if _, answered := o.Outcomes[name]; answered {
		return ""
	}
	expired := state.At.Sub(o.At) > policy.OverrideLasts || t.journal.since(o.At) > policy.OverrideLasts
	if a.Kind != policy.ActWait || a.Reason.Code == policy.Healthy || expired {
		return o.ID
	}
	return ""
}
