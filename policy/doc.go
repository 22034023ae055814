// Package policy is the pure core of Understudy: what the watchdogs know, and what follows from it.
//
// It owns the replicated State, the Commands that change it, the rules by which a failover begins, the phases it
// goes through, and the exact stream configs that are written on the way. It must not do I/O, read a clock, start a
// goroutine or log: facts come in as values, time comes in as durations that somebody else measured, and decisions
// go out as values with a reason. Production and the simulator run this same code.
//
// Start reading at failover.go (what one failover does), then decide.go (when it begins), then apply.go (what the
// log does to the state).
package policy
