package natslab

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// envServer names the config file of the nats-server that this process is to
// be.
const envServer = "UNDERSTUDY_LAB_SERVER"

// gatewayDelay is short since a lab's servers all start at once; the server's
// own default waits 1 s for the local cluster to form.
const gatewayDelay = 20 * time.Millisecond

// RunIfChild turns the process into a lab server and never returns, when a lab
// started it as one. Otherwise it does nothing. It must come first in main and
// in the TestMain of every package that starts a lab.
func RunIfChild() {
	file := os.Getenv(envServer)
	if file == "" {
		return
	}
	if err := runServer(file); err != nil {
		fmt.Fprintln(os.Stderr, "lab server:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// runServer runs until SIGTERM, or until the lab's end of stdin closes.
func runServer(file string) error {
	opts, err := server.ProcessConfigFile(file)
	if err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	server.SetGatewaysSolicitDelay(gatewayDelay)
	srv, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("configure %s: %w", file, err)
	}
	srv.ConfigureLogger()
	if err := awaitRelease(); err != nil {
		return fmt.Errorf("wait for the lab: %w", err)
	}
	go exitWithParent()
	srv.Start()
	srv.WaitForShutdown()
	return nil
}

// exitWithParent ends the process when the lab is gone, without a goodbye: the
// lab may have been killed to show a crash.
func exitWithParent() {
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(2)
}
