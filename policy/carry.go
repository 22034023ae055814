package policy

import (
	"fmt"
	"slices"
	"time"
)

// CarriedConsumer is one durable consumer of the old primary on its way to the new one.
type CarriedConsumer struct {
	Consumer
	// Reset is how far its reset is: it is sent once at most, since a late second one would take a consumer back that its
	// application has moved on (write discipline, rule 7).
	Reset ResetState `json:"reset,omitempty"`
	// Outcome is what became of it; nil before.
	Outcome *ConsumerOutcome `json:"outcome,omitempty"`
}

// ResetState says how far the reset of a consumer is.
type ResetState string

// The states of a reset; "" is not sent.
const (
	ResetOpen   ResetState = "open"
	ResetClosed ResetState = "closed"
)

// CarryCommand logs what is known of the consumers, and what was done with them: exactly one of Freeze, Open and Settle.
type CarryCommand struct {
	Stream string `json:"stream"`
	Epoch  uint64 `json:"epoch"`
	// Freeze adds consumers to those that are carried; the last command of a freeze has More unset. At is when they stood so.
	Freeze bool       `json:"freeze,omitempty"`
	Add    []Consumer `json:"add,omitempty"`
	More   bool       `json:"more,omitempty"`
	At     time.Time  `json:"at,omitzero"`
	// Open names those whose reset, or replacement, is about to be sent.
	Open []string `json:"open,omitempty"`
	// Settle tells what became of consumers.
	Settle []ConsumerOutcome `json:"settle,omitempty"`
}

// carries reports whether the attempt has consumers to carry, or may find some yet.
func (a *Attempt) carries() bool { return a.planned() || len(a.Carried) > 0 }

// settled reports whether it is known of every consumer what became of it.
func (a *Attempt) settled() bool {
	return a.ConsumersFrozen && !slices.ContainsFunc(a.Carried, func(c CarriedConsumer) bool { return c.Outcome == nil })
}

// openReset names a consumer whose reset may still take effect.
func (a *Attempt) openReset() (string, bool) {
	for _, c := range a.Carried {
		if c.Reset == ResetOpen {
			return c.Name, true
		}
	}
	return "", false
}

func (a *Attempt) outcomes() []ConsumerOutcome {
	var list []ConsumerOutcome
	for _, c := range a.Carried {
		if c.Outcome != nil {
			list = append(list, *c.Outcome)
		}
	}
	return list
}

// consumers has every consumer created at the parked target, paused, and put to its position, before anybody can find the
// stream by its subjects. It is done by whoever carries the steps out, and logged by CarryCommands.
func (e ensurer) consumers() Move {
	shape, ok := e.target().shape()
	switch {
	case !ok:
		return e.targetGone()
	case shape.Kind == ShapeMirror:
		return e.send(WritePromote, e.a.Target)
	case !e.a.ConsumersFrozen && len(e.a.Carried) == 0 && !e.v.NoneAt.IsZero():
		return Move{Kind: MoveCarried, Carry: CarryCommand{Stream: e.st.Name, Epoch: e.a.Epoch, Freeze: true, At: e.v.NoneAt.UTC()}}
	case !e.a.ConsumersFrozen:
		return Move{Kind: MoveFreeze}
	case !e.a.settled():
		return Move{Kind: MoveCarry}
	}
	return e.done("%s", e.a.carriedText())
}

// carriedText says what became of the consumers.
func (a *Attempt) carriedText() string {
	if len(a.Carried) == 0 {
		return fmt.Sprintf("%s had no durable consumers", a.From)
	}
	counts, again := map[ConsumerHow]int{}, uint64(0)
	for _, o := range a.outcomes() {
		counts[o.How]++
		again += o.MayRedeliver
	}
	text := fmt.Sprintf("%d durable consumers go on at %s", len(a.Carried)-counts[ConsumerFailed], a.Target)
	for _, how := range []ConsumerHow{ConsumerStartSequence, ConsumerExisting, ConsumerFailed} {
		if counts[how] > 0 {
			text += fmt.Sprintf(", %d %s", counts[how], how)
		}
	}
	if again > 0 {
		text += fmt.Sprintf("; at least %d acknowledged messages come again", again)
	}
	return text
}

// carry notes what is known of the consumers, or was done with them.
func (st *StreamState) carry(_ *State, cmd Command) error {
	c, a := *cmd.Carry, st.Attempt
	if a == nil || a.Epoch != c.Epoch {
		return refuse("no attempt %d runs", c.Epoch)
	}
	a.Carried = slices.Clone(a.Carried)
	switch {
	case c.Freeze:
		return a.freeze(c)
	case a.Phase != PhaseConsumers:
		return refuse("the attempt is not at %s", PhaseConsumers)
	case len(c.Open) > 0:
		return a.openResets(c.Open)
	}
	for _, o := range c.Settle {
		i := a.carried(o.Name)
		if i < 0 {
			return refuse("consumer %s is not carried", o.Name)
		}
		if a.Carried[i].Reset == ResetOpen {
			a.Carried[i].Reset = ResetClosed
		}
		a.Carried[i].Outcome = &o
	}
	return nil
}

func (a *Attempt) carried(name string) int {
	return slices.IndexFunc(a.Carried, func(c CarriedConsumer) bool { return c.Name == name })
}

// freeze takes a snapshot in: of a failover while nothing was promoted, of a switchover when the old primary delivers
// nothing any more.
func (a *Attempt) freeze(c CarryCommand) error {
	at := PhaseConfirm
	if a.planned() {
		at = PhaseConsumers
	}
	if a.ConsumersFrozen || a.Phase != at {
		return refuse("the consumers are frozen at %s, once", at)
	}
	for _, x := range c.Add {
		if a.carried(x.Name) < 0 { // a leader before may have died in the middle
			a.Carried = append(a.Carried, CarriedConsumer{Consumer: x})
		}
	}
	a.ConsumersAt, a.ConsumersFrozen = c.At, !c.More
	return nil
}

func (a *Attempt) openResets(names []string) error {
	for _, name := range names {
		i := a.carried(name)
		if i < 0 || a.Carried[i].Reset != "" {
			return refuse("consumer %s is not carried, or its reset was sent", name)
		}
		a.Carried[i].Reset = ResetOpen
	}
	return nil
}
