// Package simulator runs the real policy code against a model of NATS and of the watchdogs in bad weather: writes that
// arrive late, twice or never, replies that get lost, leaders that overlap or die between any two moves, origins that
// crash, return with a stale config and catch up, holds and overrides at any moment. Everything follows from a seed.
//
// It owns the model (world.go) and the promises that it checks (check.go); it must hold no rule of failing over itself:
// those are package policy's, and the simulator calls them as production does. Start reading at sim.go.
package simulator
