package natslab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
)

// Site is one place: the servers that are lost together.
type Site struct {
	Name   string
	Domain string // JetStream domain; "" in the shared topologies and at the hub

	lab     *Lab
	servers []*Server

	mu       sync.Mutex
	password string
}

// Servers lists the site's servers.
func (s *Site) Servers() []*Server { return slices.Clone(s.servers) }

// URLs are the direct client URLs, without credentials.
func (s *Site) URLs() []string {
	var urls []string
	for _, srv := range s.servers {
		urls = append(urls, srv.URL())
	}
	return urls
}

// URLsFrom are the client URLs as used at another site: by links that obey the
// cuts. They are nil when a link cannot be made, which takes a machine without
// free ports.
func (s *Site) URLsFrom(from string) []string {
	var urls []string
	for _, srv := range s.servers {
		addr, err := s.lab.Link(from, s.Name, srv.client)
		if err != nil {
			s.lab.log.Error("link not made", "from", from, "to", s.Name, "error", err)
			return nil
		}
		urls = append(urls, "nats://"+addr)
	}
	return urls
}

// User is the application's user.
func (s *Site) User() string { return AppUser }

// Password is the application's password, as last set.
func (s *Site) Password() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.password
}

// SetPassword changes the application's password in the configs of all servers
// and reloads those that run, which closes the connections that logged in with
// the old one. It returns when the new one is taken. A server that is down takes
// it at its restart.
func (s *Site) SetPassword(ctx context.Context, password string) error {
	s.mu.Lock()
	s.password = password
	s.mu.Unlock()
	if err := s.writeConfigs(); err != nil {
		return err
	}
	for _, srv := range s.servers {
		if !srv.Running() {
			continue
		}
		if err := srv.signal(syscall.SIGHUP); err != nil {
			return err
		}
		if err := s.lab.waitUp(ctx, []*Server{srv}); err != nil {
			return fmt.Errorf("change the password at %s: %w", srv.Name, err)
		}
	}
	return nil
}

// StoreDirs are the servers' store folders.
func (s *Site) StoreDirs() []string {
	var dirs []string
	for _, srv := range s.servers {
		dirs = append(dirs, srv.StoreDir())
	}
	return dirs
}

// Kill ends all servers with SIGKILL, as nearly at once as can be, and waits
// until they are gone.
func (s *Site) Kill() error {
	return errors.Join(s.each((*Server).sendKill), s.each((*Server).Kill))
}

// Pause stops all servers with SIGSTOP, as nearly at once as can be, and returns
// when none runs any more.
func (s *Site) Pause() error {
	if err := s.each((*Server).sendPause); err != nil {
		return err
	}
	return s.each((*Server).Pause)
}

// Resume continues all servers.
func (s *Site) Resume() error { return s.each((*Server).Resume) }

// Shutdown ends all servers cleanly, one after the other.
func (s *Site) Shutdown(ctx context.Context) error {
	return s.each(func(srv *Server) error { return srv.Shutdown(ctx) })
}

// Restart kills the servers that run, starts all, and returns when all are
// ready.
func (s *Site) Restart(ctx context.Context) error {
	if err := s.Kill(); err != nil {
		return err
	}
	if err := startAll(s.servers); err != nil {
		return err
	}
	return s.lab.waitUp(ctx, s.servers)
}

func (s *Site) each(do func(*Server) error) error {
	var errs []error
	for _, srv := range s.servers {
		errs = append(errs, do(srv))
	}
	return errors.Join(errs...)
}

func (s *Site) routes() []string {
	var addrs []string
	for _, srv := range s.servers {
		addrs = append(addrs, srv.cluster)
	}
	return addrs
}

func (s *Site) writeConfigs() error {
	password := s.Password()
	return s.each(func(srv *Server) error { return srv.conf.write(srv.ConfigFile(), password) })
}
