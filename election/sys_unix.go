//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package election

import (
	"errors"
	"net"
	"os"
	"syscall"
)

// alive reports whether an idle connection can still be used: its peer has neither closed it nor sent anything, for a
// peer that sends while nothing was asked sends the end. It looks without reading and without waiting.
func alive(conn net.Conn) bool {
	sys, ok := bottom(conn).(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := sys.SyscallConn()
	if err != nil {
		return false
	}
	var peek error
	var b [1]byte
	err = raw.Read(func(fd uintptr) bool {
		_, _, peek = syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return true
	})
	return err == nil && (errors.Is(peek, syscall.EAGAIN) || errors.Is(peek, syscall.EWOULDBLOCK))
}

// tryLock locks a file for this process until it is closed. It does not wait.
func tryLock(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}
