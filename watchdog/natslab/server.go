package natslab

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// ErrNotRunning is returned for a signal to a server that was killed or shut
// down.
var ErrNotRunning = errors.New("server is not running")

// Server is one nats-server process.
type Server struct {
	Name string

	site *Site
	dir  string
	conf serverConfig

	client, cluster, remote string // listen addresses; remote is gateway or leafnode

	mu   sync.Mutex
	proc *process // nil before the first start
}

// URL is the direct client URL, without credentials.
func (s *Server) URL() string { return "nats://" + s.client }

// Addr is the direct client address.
func (s *Server) Addr() string { return s.client }

// StoreDir is the folder given to the server as store_dir; JetStream's own
// folder "jetstream" is in it.
func (s *Server) StoreDir() string { return s.conf.StoreDir }

// LogFile is the server's log. Restarts append to it.
func (s *Server) LogFile() string { return filepath.Join(s.dir, "server.log") }

const configName = "server.conf"

// ConfigFile is the server's config.
func (s *Server) ConfigFile() string { return filepath.Join(s.dir, configName) }

// Pid is the process id; 0 when the server is not running.
func (s *Server) Pid() int {
	if p := s.process(); p != nil {
		return p.pid()
	}
	return 0
}

// Running tells whether the process exists, paused or not.
func (s *Server) Running() bool { return s.process() != nil }

// Kill ends the server with SIGKILL and waits until it is gone.
func (s *Server) Kill() error {
	if p := s.process(); p != nil {
		return p.kill()
	}
	return nil
}

// sendKill sends the SIGKILL without waiting for its effect.
func (s *Server) sendKill() error {
	if p := s.process(); p != nil {
		return p.signal(syscall.SIGKILL)
	}
	return nil
}

// Shutdown ends the server cleanly: it tells its peers first.
func (s *Server) Shutdown(ctx context.Context) error {
	if err := s.signal(syscall.SIGTERM); err != nil {
		return err
	}
	p := s.process()
	if p == nil {
		return nil
	}
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the end of %s: %w", s.Name, ctx.Err())
	}
}

// Pause stops the process with SIGSTOP and returns when no part of it runs any
// more. Its connections stay open.
func (s *Server) Pause() error {
	if err := s.sendPause(); err != nil {
		return err
	}
	for end := time.Now().Add(pausePatience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		p := s.process()
		if p == nil {
			return fmt.Errorf("pause %s: %w", s.Name, ErrNotRunning)
		}
		if ok, err := stopped(p.pid()); ok && err == nil {
			return nil
		}
	}
	return fmt.Errorf("pause %s: it still runs after %v", s.Name, pausePatience)
}

// pausePatience bounds the wait for a SIGSTOP to take effect.
const pausePatience = 10 * time.Second

// sendPause sends the SIGSTOP without waiting for its effect.
func (s *Server) sendPause() error { return s.signal(syscall.SIGSTOP) }

// Resume continues a paused process.
func (s *Server) Resume() error { return s.signal(syscall.SIGCONT) }

// Restart kills the server if it runs, and starts it on its store and ports. It
// returns when the server is ready.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.Kill(); err != nil {
		return err
	}
	if err := startAll([]*Server{s}); err != nil {
		return err
	}
	return s.site.lab.waitUp(ctx, []*Server{s})
}

// process returns the running process, or nil.
func (s *Server) process() *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.proc == nil || !s.proc.alive() {
		return nil
	}
	return s.proc
}

func (s *Server) signal(sig syscall.Signal) error {
	p := s.process()
	if p == nil {
		return fmt.Errorf("send %s to %s: %w", sig, s.Name, ErrNotRunning)
	}
	if err := p.signal(sig); err != nil {
		return fmt.Errorf("send %s to %s: %w", sig, s.Name, err)
	}
	return nil
}

// Site is where the server is.
func (s *Server) Site() *Site { return s.site }
