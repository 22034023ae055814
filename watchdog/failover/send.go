package failover

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sethvargo/go-retry"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

// quickTimeout is how long the reply to the park of a dead origin is waited for: it never comes. Its effect is there
// within milliseconds, and the next reading sees it.
const quickTimeout = 20 * time.Millisecond

// freshWord is how long the commit of a write's open counts as the majority's word that this node leads.
const freshWord = 50 * time.Millisecond

// sending is one write on its way.
type sending struct {
	move    policy.Move
	state   policy.StreamState
	phase   policy.Phase // of the attempt or the care, "" outside of one
	timeout time.Duration
	// opened is when the commit of its open began, for a write that was logged ahead and is sent now; zero otherwise.
	opened time.Time
	// before is committed together with the open.
	before []policy.Command
	// later, when set, takes the close of a write that was replied to instead of the log, and the reply.
	later func(policy.Command, *jsapi.Info)
}

// opens log the write, and the one that is to follow it.
func (o sending) opens() []policy.Command {
	open := func(w policy.Write, seen *policy.Snapshot) policy.Command {
		return policy.Command{Open: &policy.OpenCommand{Stream: o.state.Name, Epoch: o.state.Epoch, Phase: o.phase, Write: w, Seen: seen}}
	}
	first := open(o.move.Write, o.move.Seen)
	if o.move.Ahead == nil {
		return []policy.Command{first}
	}
	return []policy.Command{first, open(*o.move.Ahead, nil)}
}

// send makes one write: logged open, leadership verified, sent, and closed by what came back. A refusal by the server
// is returned as refused; an unknown outcome leaves the write open, to be read back by the next move.
func (h *Hands) send(ctx context.Context, o sending) (refused, err error) {
	w, resend, led := o.move.Write, o.move.Resend, o.opened
	if !resend && led.IsZero() {
		led = time.Now()
		if err := h.commit(ctx, o.state.Name, append(o.before, o.opens()...)); errors.Is(err, policy.ErrRefused) {
			return err, nil
		} else if err != nil {
			return nil, fmt.Errorf("log write %s: %w", w.ID, err)
		}
	}
	reply, err := h.write(ctx, w, o.timeout, led)
	failpoint(o.state.Name, "after-send-"+string(w.Kind))
	how := closes(err)
	h.o.Log.Debug("write sent", "stream", o.state.Name, "write", string(w.ID), "member", w.Member.String(), "kind", string(w.Kind), "resend", resend, "closed", string(how), "error", err)
	switch {
	case how == "" && errors.Is(err, jsapi.ErrMetaUnavailable):
		return err, ctx.Err() // it stays open; the pause of a refusal is as good here
	case how == "":
		return nil, ctx.Err()
	case resend && how == policy.ClosedNotSent:
		return err, nil // this copy never left; an earlier one may still arrive
	}
	if how == policy.ClosedReplied && o.later != nil {
		o.later(closing(o, how, nil), reply)
		return nil, nil
	}
	return h.close(ctx, o, how, err)
}

// close logs what came of a write.
func (h *Hands) close(ctx context.Context, o sending, how policy.CloseHow, outcome error) (refused, err error) {
	if err := h.settle(ctx, h.commit(ctx, o.state.Name, []policy.Command{closing(o, how, outcome)})); err != nil {
		return nil, err
	}
	return outcome, nil
}

// closing is the command that logs it.
func closing(o sending, how policy.CloseHow, outcome error) policy.Command {
	w := o.move.Write
	c := policy.CloseCommand{Stream: o.state.Name, Member: w.Member, Write: w.ID, How: how, Only: !o.move.Resend}
	if outcome != nil {
		c.Detail = outcome.Error()
	}
	return policy.Command{Close: &c}
}

// errNotSent wraps what kept a write from leaving.
var errNotSent = errors.New("not sent")

// write sends one write, within one deadline, after a check of leadership: led is when a commit began that has gone
// through since, and which is as good as one while it is fresh. A delete has no reply to return.
func (h *Hands) write(ctx context.Context, w policy.Write, timeout time.Duration, led time.Time) (reply *jsapi.Info, err error) {
	conn, err := h.writer(ctx, w.Via)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotSent, err)
	}
	if err := h.verifySince(ctx, led); err != nil {
		return nil, fmt.Errorf("%w: %w", errNotSent, err)
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%w: %w", errNotSent, ctx.Err())
	}
	asked, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	switch w.Kind {
	case policy.WriteDelete, policy.WriteUnspare:
		err = conn.Delete(asked, w.Member.Stream)
	case policy.WriteCreate, policy.WriteSpare:
		reply, err = conn.Create(asked, w.Member.Stream, w.Config)
	default:
		reply, err = conn.Update(asked, w.Member.Stream, w.Config)
	}
	if errors.Is(err, jsapi.ErrTimeout) && timeout >= h.o.Timeout { // not one that only waited for an effect
		leaveSilent(ctx, conn)
	}
	return reply, err
}

// pingTimeout is how long the server behind a connection may take for a sign of life, once a write was not answered.
const pingTimeout = time.Second

// leaveSilent closes a connection whose server is silent, so that the next write finds another server of the site. A
// living one is kept: what it was asked about may be dead, as an origin is.
func leaveSilent(ctx context.Context, conn *jsapi.Conn) {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	if err := conn.Ping(ctx); errors.Is(err, jsapi.ErrTimeout) {
		conn.Close()
	}
}

// verify asks for leadership, over one short transport blip: a lost round trip among the watchdogs need not cost a
// whole tick. Losing the term is final, because the term's context then ends.
func (h *Hands) verify(ctx context.Context) error {
	b := retry.WithMaxRetries(2, retry.NewConstant(20*time.Millisecond))
	return retry.Do(ctx, b, func(ctx context.Context) error {
		return retry.RetryableError(h.o.Journal.VerifyLeader(ctx))
	})
}

// verifySince asks for leadership, unless a commit that began at led, and went through, has just shown it.
func (h *Hands) verifySince(ctx context.Context, led time.Time) error {
	if time.Since(led) <= freshWord {
		return nil
	}
	return h.verify(ctx)
}

// closes says what an outcome means for the write: "" is unknown, and leaves it open.
func closes(err error) policy.CloseHow {
	var api *jsapi.APIError
	switch {
	case err == nil:
		return policy.ClosedReplied
	case errors.Is(err, jsapi.ErrMetaUnavailable):
		return "" // the word of one server that knows of no leader, such as one that was frozen or cut off: the leader may obey
	case errors.Is(err, errNotSent), errors.Is(err, jsapi.ErrPermission), errors.Is(err, jsapi.ErrNoResponders):
		return policy.ClosedNotSent
	case errors.As(err, &api):
		return policy.ClosedRefused
	}
	return ""
}

// refusedReason puts the server's refusal into a reason that names the remedy where one is known.
func refusedReason(w policy.Write, err error) policy.Reason {
	code := policy.TargetUnreachable
	switch {
	case errors.Is(err, jsapi.ErrOverlap), errors.Is(err, jsapi.ErrOffline):
		code = policy.SubjectsUnreleasable
	case errors.Is(err, jsapi.ErrMetaUnavailable):
		code = policy.MetaQuorumLost
	case errors.Is(err, policy.ErrRefused):
		code = policy.WriteOpen
	}
	return policy.Reason{Code: code, Text: fmt.Sprintf("the %s of %s through %s did not go through: %v", w.Kind, w.Member, w.Via, err)}
}
