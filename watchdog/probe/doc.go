// Package probe turns what NATS answers into policy.Report: what this observer sees of every guarded stream.
//
// It only reads, and it judges nothing: which evidence counts, and for how long, is the business of policy. DESIGN.md
// has the paths, the evidence, and what cannot be told.
//
// Start reading at Observer in observer.go, then pass.go (one probe of some streams) and look.go (one member).
package probe
