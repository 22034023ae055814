// Package consumers carries the applications' durable consumers from a primary to the stream that is promoted in its
// place, so that each goes on where it was.
//
// It owns two things: the snapshots of where consumers stand, taken while the primary lives (Take, Keeper), and the work at
// the promoted stream (Target: Prepare, Reset, Replace, Release). It decides neither when any of that is due nor whether it
// was done already: that is for the caller, who keeps the log. DESIGN.md tells what must be logged before what.
//
// Start reading at Position in position.go, then prepare.go.
package consumers
