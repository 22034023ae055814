// Package grouplab runs a group of real watchdogs on a lab of real nats-servers, each as a process of its own, for the
// demo and for tests.
//
// It owns the watchdogs' processes, their configs and the links between them, which obey the lab's cuts. It must not
// know what a failover is; it asks the watchdogs as an operator would, by their admin sockets. Start reading at Start.
package grouplab
