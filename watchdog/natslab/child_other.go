//go:build unix && !linux

package natslab

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// childAttr keeps a terminal's Ctrl-C from the servers. Their stdin ends them
// with the lab.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

// stopped tells whether a process is stopped: SIGSTOP takes effect after it was
// sent.
func stopped(pid int) (bool, error) {
	state, err := exec.Command("ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return false, fmt.Errorf("look up the state of process %d: %w", pid, err)
	}
	return strings.HasPrefix(strings.TrimSpace(string(state)), "T"), nil
}
