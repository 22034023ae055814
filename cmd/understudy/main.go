// Command understudy is an automated failover watchdog for NATS JetStream mirror streams, and the tool to ask and to
// tell a running one.
//
// It owns flags, what is printed, and exit codes; everything else is in the packages below watchdog. One file holds
// one command. Start reading at root.go.
package main

import (
	"os"

	"github.com/understudy-ha/understudy/watchdog/grouplab"
)

func main() {
	grouplab.RunIfChild() // the demo's servers and watchdogs are children of this program
	os.Exit(execute(newApp(os.Stdin, os.Stdout, os.Stderr), os.Args[1:]))
}
