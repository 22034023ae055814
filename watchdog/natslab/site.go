package natslab

import (
	"context"
	"errors"
	"slices"
)

// Site is one place: the servers that are lost together.
type Site struct {
	Name   string
	Domain string // JetStream domain; "" in the shared topologies and at the hub

	lab     *Lab
	servers []*Server
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
func (s *Site) Password() string { return s.servers[0].conf.AppPassword }

// StoreDirs are the servers' store folders.
func (s *Site) StoreDirs() []string {
	var dirs []string
	for _, srv := range s.servers {
		dirs = append(dirs, srv.StoreDir())
	}
	return dirs
}

// Kill ends all servers with SIGKILL.
func (s *Site) Kill() error { return s.each((*Server).Kill) }

// Pause stops all servers with SIGSTOP.
func (s *Site) Pause() error { return s.each((*Server).Pause) }

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
	if err := s.each((*Server).start); err != nil {
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
	return s.each(func(srv *Server) error { return srv.conf.write(srv.ConfigFile()) })
}
