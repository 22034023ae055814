// Package failover carries out what the policy decides: it is the only writer to NATS.
//
// A Step reads what is there, asks policy.Ensure for the next move, makes it, and reads back, until the attempt is at
// its end or has to wait. It owns the connections of one leadership term and must not outlive it; it decides nothing,
// and it remembers nothing that the log does not hold. Start reading at step.go.
package failover
