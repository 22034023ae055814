package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// signalling sends signals to this process when the command first prints, which it does while it reads the config.
type signalling struct {
	bytes.Buffer
	sent bool
}

func (s *signalling) Write(b []byte) (int, error) {
	if !s.sent {
		s.sent = true
		for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2} {
			if err := syscall.Kill(os.Getpid(), sig); err != nil {
				return 0, err
			}
		}
	}
	return s.Buffer.Write(b)
}

// TestEarlySignals would end with this process if a signal found its default action. The peers' address is taken, so
// that the command ends by itself.
func TestEarlySignals(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "u.yaml")
	config := fmt.Sprintf(`node: wd
data_dir: data
mode: unattended # of which a single watchdog is warned
peers: {wd: {addr: %q, site: east}}
sites: {east: {servers: ["nats://127.0.0.1:1"]}, west: {servers: ["nats://127.0.0.1:1"]}}
streams: [{name: EVENTS, origin: {site: east, stream: EVENTS}, mirrors: [{site: west, stream: EVENTS_W}]}]
`, taken.Addr())
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	var stderr signalling
	code := execute(newApp(nil, nil, &stderr), []string{"run", "--config", file})
	if code != exitFailed || !stderr.sent || !strings.Contains(stderr.String(), taken.Addr().String()) {
		t.Errorf("exit code %d, %s", code, &stderr)
	}
}
