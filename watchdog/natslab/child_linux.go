package natslab

import "syscall"

// childAttr keeps a terminal's Ctrl-C from the servers, and has the kernel kill
// them when the thread that started them ends.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
