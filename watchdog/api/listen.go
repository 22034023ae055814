package api

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// ErrSocketInUse says that a running process serves the admin socket.
var ErrSocketInUse = errors.New("another process serves this socket")

// maxPath is the shortest limit that a supported system has for the path of a socket.
const maxPath = 103

// ListenAdmin listens on the unix socket of admin.listen, mode 0600. The socket is made inside a folder that only its
// owner may enter and then moved to its place, so that it is never open wider. The socket that a dead process left
// behind is replaced, that of a living one is ErrSocketInUse. Closing the listener removes the socket.
func ListenAdmin(path string) (net.Listener, error) {
	if err := placeFree(path); err != nil {
		return nil, fmt.Errorf("admin.listen %s: %w", path, err)
	}
	ln, err := listenPrivate(path)
	if err != nil {
		return nil, fmt.Errorf("admin.listen %s: %w", path, err)
	}
	return ln, nil
}

// placeFree checks that path may be taken.
func placeFree(path string) error {
	dir := filepath.Dir(path)
	if info, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the folder %s is missing: create it, owned by the watchdog's user", dir)
	} else if err != nil {
		return err
	} else if !info.IsDir() {
		return fmt.Errorf("%s is not a folder", dir)
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return errors.New("the file there is not a socket: remove it, or choose another place")
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		_ = c.Close()
		return fmt.Errorf("%w: stop the other watchdog, or give this one its own admin.listen", ErrSocketInUse)
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil // left behind by a dead process: the rename replaces it
	case errors.Is(err, fs.ErrNotExist):
		return nil // its owner has just removed it
	}
	return fmt.Errorf("cannot tell whether the socket there is in use: %w", err)
}

func listenPrivate(path string) (net.Listener, error) {
	dir, err := privateDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	at := filepath.Join(dir, "s")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: at, Net: "unix"})
	if err != nil && len(at) > maxPath {
		return nil, fmt.Errorf("the folder's path is too long for a socket: use a shorter one: %w", err)
	}
	if err != nil {
		return nil, err
	}
	ln.SetUnlinkOnClose(false) // it would look at the first place
	l := &adminListener{UnixListener: ln, path: path}
	if err := l.move(at); err != nil {
		_ = ln.Close()
		return nil, err
	}
	return l, nil
}

// privateDir makes a folder that only its owner may enter. Its name is short, since the kernel takes about 100 bytes
// for the path of a socket; the config's limit counts on it.
func privateDir(parent string) (string, error) {
	for range 100 {
		dir := filepath.Join(parent, "."+strconv.FormatUint(uint64(rand.Uint32N(36*36*36*36)), 36))
		err := os.Mkdir(dir, 0o700)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if errors.Is(err, fs.ErrPermission) {
			return "", fmt.Errorf("this user may not create files in %s: %w", parent, err)
		}
		return dir, err
	}
	return "", fmt.Errorf("no free name for a folder in %s", parent)
}

// adminListener removes its socket when it is closed.
type adminListener struct {
	*net.UnixListener
	path string
	info fs.FileInfo
	once sync.Once
}

func (l *adminListener) move(from string) error {
	if err := os.Chmod(from, 0o600); err != nil {
		return err
	}
	if err := os.Rename(from, l.path); err != nil {
		return err
	}
	info, err := os.Lstat(l.path)
	l.info = info
	return err
}

// Addr returns the socket's place.
func (l *adminListener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

// Close removes the socket, if it is still ours, before it stops to listen: after that another may take the place.
func (l *adminListener) Close() error {
	l.once.Do(func() {
		if now, err := os.Lstat(l.path); err == nil && os.SameFile(now, l.info) {
			_ = os.Remove(l.path)
		}
	})
	return l.UnixListener.Close()
}
