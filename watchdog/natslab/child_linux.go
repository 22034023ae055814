package natslab

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// childAttr keeps a terminal's Ctrl-C from the servers, and has the kernel kill
// them when the thread that started them ends.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// stopped tells whether every thread of a process is stopped: SIGSTOP takes
// effect after it was sent, thread by thread.
func stopped(pid int) (bool, error) {
	stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil {
		return false, err
	}
	for _, file := range stats {
		text, err := os.ReadFile(file)
		if err != nil {
			return false, err
		}
		// The state follows the command's name, which is in brackets.
		_, state, _ := strings.Cut(string(text), ") ")
		if !strings.HasPrefix(state, "T") {
			return false, nil
		}
	}
	return len(stats) > 0, nil
}
