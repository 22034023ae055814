package watchdog

import (
	"context"
	"errors"
	"fmt"
	"time"

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
	ends := time.Time{}
	if st.Approval != nil && a.Reason.Code == policy.AwaitingApproval { // it was for something else
		ends = st.Approval.At
	}
	if st.Reason.Code == a.Reason.Code && answer == "" && ends.IsZero() {
		return nil
	}
	d := &policy.DecisionCommand{Stream: name, Reason: a.Reason, Override: answer, Ends: ends,
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

// answers returns the id of a request that the decision answers: at once when a failover runs or the origin is up, else
// when the request's time is over. The begin of a failover answers those for it by itself, once the log has taken it.
func (t *term) answers(state policy.State, name string, a policy.Action) string {
	for _, o := range state.Unanswered(name) {
		expired := o.Expired(state.At) || o.Expired(time.Now())
		if a.Kind == policy.ActStep || a.Reason.Code == policy.Healthy || expired {
			return o.ID
		}
	}
	return ""
}
