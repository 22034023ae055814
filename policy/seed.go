package policy

import "fmt"

// Seeds is how many message ids the attempt makes its target know, at most.
func (a *Attempt) Seeds() int {
	switch d := a.Rules.Dedup; {
	case d.Mode != DedupSeed:
		return 0
	case a.planned():
		return d.SwitchoverIDs
	default:
		return d.MaxIDs
	}
}

// seed has the target learn its message ids while it is parked: a retry of what it holds is then no second message. It is
// done by whoever carries the steps out; the account comes back with the views.
func (e ensurer) seed() Move {
	shape, ok := e.target().shape()
	switch {
	case !ok:
		return e.targetGone()
	case shape.Kind == ShapeMirror:
		return e.send(WritePromote, e.a.Target)
	case shape.Kind == ShapeBound && e.v.Seed == nil:
		return Move{Kind: MoveSeed} // by an earlier leader's bind: it may have come in the midst of a seeding
	case e.v.Seed == nil:
		return Move{Kind: MoveSeed, MaxIDs: e.a.Seeds()}
	}
	m := e.done("%s", e.v.Seed.text(e.a.Target))
	m.Result.Seed = e.v.Seed
	return m
}

// text says what a seeding came to.
func (r *SeedRecord) text(target MemberID) string {
	switch {
	case r.Skipped != "":
		return fmt.Sprintf("%s learned no message ids: %s", target, r.Skipped)
	case r.LeftOut > 0:
		return fmt.Sprintf("%s knows the ids of the newest %d messages, and not those of %d: %s", target, r.Seeded+r.Known, r.LeftOut, r.Why)
	case r.Seeded+r.Known == 0:
		return fmt.Sprintf("%s holds no message ids of the deduplication window", target)
	}
	return fmt.Sprintf("%s knows the ids of the newest %d messages, which took %d sequences", target, r.Seeded+r.Known, r.Burned)
}
