// Package watchdog is one watchdog: it wires the prober, the election, the policy and the hands together, and runs
// one leadership term at a time.
//
// It owns the lifecycle of everything that a process of Understudy runs. It must not judge: what a sight means and
// what follows from it is package policy's; how a write is made is package failover's. Start reading at term.go, which
// is what a leader does, then service.go.
package watchdog
