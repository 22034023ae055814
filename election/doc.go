// Package election makes the watchdogs agree: it elects one leader among them with Raft, replicates the commands
// that the leader proposes, and carries small requests between them.
//
// It owns the Raft node, its stores on disk, the peers' port and the lifetime of a leadership term. It knows nothing
// of NATS nor of what the commands mean: those belong to the [StateMachine] that the caller hands in.
//
// Start reading at [Node.Run], then term.go (what a leader's term is) and DESIGN.md (formats, and what refuses to
// start).
package election
