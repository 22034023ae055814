package natslab

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
)

// Ports are taken from below the ephemeral range of Linux (32768) and of macOS
// (49152), so that no outgoing connection can be given one while its server is
// down.
const (
	firstPort = 20000
	lastPort  = 31999
)

// ports reserves TCP ports on 127.0.0.1 against other labs on the machine: a
// locked file per port, held until release.
type ports struct {
	dir string

	mu    sync.Mutex
	files []*os.File
}

func newPorts() (*ports, error) {
	dir := filepath.Join(os.TempDir(), "understudy-ports")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("make the folder of port locks: %w", err)
	}
	_ = os.Chmod(dir, 0o777|os.ModeSticky) // shared by users; fails for all but the first
	return &ports{dir: dir}, nil
}

// take reserves one free port and returns its address.
func (p *ports) take() (string, error) {
	const size = lastPort - firstPort + 1
	start := rand.IntN(size)
	for i := range size {
		port := firstPort + (start+i)%size
		f, err := lockFile(filepath.Join(p.dir, strconv.Itoa(port)+".lock"))
		if err != nil {
			continue
		}
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		if !bindable(addr) {
			unlock(f)
			continue
		}
		p.mu.Lock()
		p.files = append(p.files, f)
		p.mu.Unlock()
		return addr, nil
	}
	return "", fmt.Errorf("no free port from %d to %d", firstPort, lastPort)
}

func (p *ports) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.files {
		unlock(f)
	}
	p.files = nil
}

func bindable(addr string) bool {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return false
	}
	return ln.Close() == nil
}

var errLockLost = errors.New("lock file was replaced")

// lockFile takes an exclusive lock without waiting. A file that its last holder
// removed between our open and our lock does not count.
func lockFile(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, err
	}
	held, err1 := f.Stat()
	named, err2 := os.Stat(name)
	if err1 != nil || err2 != nil || !os.SameFile(held, named) {
		_ = f.Close()
		return nil, errLockLost
	}
	return f, nil
}

// unlock removes the file while it is still locked, then lets go.
func unlock(f *os.File) {
	_ = os.Remove(f.Name())
	_ = f.Close()
}
