package natslab

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// A new server stands for meta leader 100 to 800 ms after its start. When most
// of its peers are not there by then, it waits 4 to 9 s before it stands again.
// So servers that start together are held until all have read their configs, and
// let go at once.

// loadedFd is the descriptor whose closing tells that a server has read its
// config: the first of the files that exec.Cmd passes on.
const loadedFd = 3

// starting is a child that has not been let go.
type starting struct {
	*process
	loaded *os.File // ends when the child has read its config, or is dead
}

// startAll runs the processes of servers that are not running.
func startAll(servers []*Server) error {
	var (
		children []starting
		errs     []error
	)
	for _, s := range servers {
		c, err := s.start()
		if err != nil {
			errs = append(errs, fmt.Errorf("start %s: %w", s.Name, err))
		} else if c.process != nil {
			children = append(children, c)
		}
	}
	for _, c := range children {
		_, _ = io.Copy(io.Discard, c.loaded)
		_ = c.loaded.Close()
	}
	for _, c := range children {
		_, _ = io.WriteString(c.stdin, "\n") // a dead child shows later
	}
	return errors.Join(errs...)
}

// start runs the process, up to where it waits; none when one runs already.
func (s *Server) start() (starting, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc != nil && s.proc.alive() {
		return starting{}, nil
	}
	loaded, tell, err := os.Pipe()
	if err != nil {
		return starting{}, err
	}
	defer tell.Close()
	env := []string{envServer + "=" + s.ConfigFile()}
	p, err := s.site.lab.launcher.start(env, s.LogFile(), tell)
	if err != nil {
		_ = loaded.Close()
		return starting{}, err
	}
	s.proc = p
	return starting{p, loaded}, nil
}

// awaitRelease is the child's side: it tells the lab that this server is about
// to start and waits to be let go.
func awaitRelease() error {
	if err := os.NewFile(loadedFd, "loaded").Close(); err != nil {
		return err
	}
	_, err := io.ReadFull(os.Stdin, make([]byte, 1))
	return err
}
