//go:build unix && !linux

package natslab

import "syscall"

// childAttr keeps a terminal's Ctrl-C from the servers. Their stdin ends them
// with the lab.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
