package api

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/understudy-ha/understudy/policy"
)

// The verbs of a Request.
const (
	VerbHold     = "hold"
	VerbResume   = "resume"
	VerbApprove  = "approve"
	VerbFailover = "failover"
	VerbAdopt    = "adopt"
	VerbReload   = "reload"
	VerbSignal   = "signal"
	VerbTransfer = "transfer"

	VerbSwitchover = "switchover"
	VerbRejoin     = "rejoin"
	VerbSalvaged   = "salvaged"
)

// Signals are the names that a Request of VerbSignal may bear.
func Signals() []string { return []string{"USR1", "USR2", "HUP", "TERM"} }

// ErrBadRequest marks a Request that no watchdog understands.
var ErrBadRequest = errors.New("bad request")

// Validate checks what can be checked without knowing the streams: the verb, and what belongs to it. Its errors are
// ErrBadRequest.
func (r Request) Validate() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrBadRequest, fmt.Sprintf(format, args...))
	}
	verbs := []string{VerbHold, VerbResume, VerbApprove, VerbFailover, VerbAdopt, VerbReload, VerbSignal, VerbTransfer, VerbSwitchover, VerbRejoin, VerbSalvaged}
	switch {
	case !slices.Contains(verbs, r.Verb):
		return bad("verb %q is none of %s", r.Verb, strings.Join(verbs, ", "))
	case r.By == "":
		return bad("by is missing: the history names who asked")
	case r.Stream == "" && slices.Contains([]string{VerbApprove, VerbFailover, VerbAdopt, VerbSwitchover, VerbRejoin, VerbSalvaged}, r.Verb):
		return bad("%s needs a stream", r.Verb)
	case r.Stream != "" && (r.Verb == VerbReload || r.Verb == VerbSignal || r.Verb == VerbTransfer):
		return bad("%s takes no stream", r.Verb)
	case r.Site != "" && !slices.Contains([]string{VerbFailover, VerbAdopt, VerbSwitchover, VerbRejoin}, r.Verb):
		return bad("site belongs to failover, switchover, rejoin and adopt")
	case r.AllowLoss && r.Verb != VerbFailover:
		return bad("allow_loss belongs to failover")
	case r.Verb == VerbSwitchover && r.Site == "":
		return bad("switchover needs a site")
	case r.DeadlineMS != 0 && r.Verb != VerbSwitchover || r.DeadlineMS < 0:
		return bad("a positive deadline_ms belongs to switchover")
	case r.DryRun && r.Verb != VerbSwitchover && r.Verb != VerbAdopt:
		return bad("dry_run belongs to switchover and adopt")
	case r.Abandon && (r.Verb != VerbFailover || r.Site == "" || r.AllowLoss):
		return bad("abandon belongs to failover, with the target's site and without allow_loss")
	case r.ID != "" && r.Verb != VerbFailover:
		return bad("id belongs to failover")
	case r.Version != nil && r.Verb != VerbHold && r.Verb != VerbResume:
		return bad("version belongs to hold and resume")
	case r.Approval != nil && r.Verb != VerbApprove:
		return bad("approval belongs to approve")
	case r.Verb == VerbSalvaged && (r.Epoch == 0 || r.Member.Stream == "" || r.Tail == nil):
		return bad("salvaged needs epoch, member and tail")
	case r.Verb != VerbSalvaged && (r.Epoch != 0 || r.Member != policy.MemberID{} || r.Tail != nil):
		return bad("epoch, member and tail belong to salvaged")
	case r.Verb == VerbTransfer && r.Node == "":
		return bad("transfer needs a node")
	case r.Node != "" && r.Verb != VerbTransfer:
		return bad("node belongs to transfer")
	case r.Verb == VerbSignal && !slices.Contains(Signals(), r.Signal):
		return bad("signal %q is none of %s", r.Signal, strings.Join(Signals(), ", "))
	case r.Verb != VerbSignal && r.Signal != "":
		return bad("signal belongs to verb signal")
	}
	return nil
}
