// Package config reads, checks and shows the file that an operator writes for a watchdog.
//
// It owns the file's keys, their defaults and every message about them. It must not talk to NATS or to another
// watchdog, and it never prints a secret: the file holds only the names of files that do.
//
// Start reading at Config, then Defaults, then Parse. What decisions depend on is handed on as policy.Rules.
package config
