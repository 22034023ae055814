package natslab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

const (
	pollEvery   = 25 * time.Millisecond
	pollTimeout = 2 * time.Second // of one look, with all its requests
	logTail     = 2 << 10         // bytes of a dead server's log in the error
)

var errServerDied = errors.New("server process ended")

// poll calls check until it returns nil or a dead server, or the context ends.
func poll(ctx context.Context, check func(context.Context) error) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		try, cancel := context.WithTimeout(ctx, pollTimeout)
		err := check(try)
		cancel()
		if err == nil || errors.Is(err, errServerDied) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// WaitReady waits until all servers take connections, all links are up, every
// meta group has a leader that is in touch with all its members, and the
// JetStream API answers at every server.
func (l *Lab) WaitReady(ctx context.Context) error {
	if err := l.waitUp(ctx, l.allServers()); err != nil {
		return err
	}
	for _, s := range l.allServers() {
		if err := l.waitJoined(ctx, s); err != nil {
			return fmt.Errorf("wait for %s to be joined: %w", s.Name, err)
		}
	}
	return nil
}

// waitUp waits until each server takes connections.
func (l *Lab) waitUp(ctx context.Context, servers []*Server) error {
	for _, s := range servers {
		nc, err := s.await(ctx, AppUser, s.site.Password())
		if err != nil {
			return fmt.Errorf("wait for %s to take connections: %w", s.Name, err)
		}
		nc.Close()
	}
	return nil
}

// await connects as soon as the server takes connections.
func (s *Server) await(ctx context.Context, user, password string) (*nats.Conn, error) {
	var nc *nats.Conn
	err := poll(ctx, func(context.Context) error {
		var err error
		if nc, err = s.connect(user, password); err != nil {
			return errors.Join(err, s.died())
		}
		return nil
	})
	return nc, err
}

// waitJoined waits until one server sees all others that it should.
func (l *Lab) waitJoined(ctx context.Context, s *Server) error {
	app, err := s.await(ctx, AppUser, s.site.Password())
	if err != nil {
		return err
	}
	defer app.Close()
	sys, err := s.await(ctx, SysUser, sysPassword)
	if err != nil {
		return err
	}
	defer sys.Close()
	return poll(ctx, func(ctx context.Context) error {
		err := l.joined(ctx, s, app, sys)
		if err != nil {
			return errors.Join(err, s.died())
		}
		return nil
	})
}

// joined checks one server once: its gateways, its meta group, and the APIs that
// it should reach.
func (l *Lab) joined(ctx context.Context, s *Server, app, sys *nats.Conn) error {
	if s.site == l.hub {
		return nil
	}
	if want := len(s.conf.Gateways); want > 0 {
		var g server.Gatewayz
		if err := askServer(ctx, sys, "GATEWAYZ", &g); err != nil {
			return err
		}
		if got := len(g.OutboundGateways); got != want {
			return fmt.Errorf("outbound gateways: %d, want %d", got, want)
		}
	}
	if s.conf.Cluster != "" {
		if err := l.metaComplete(ctx, s, sys); err != nil {
			return err
		}
	}
	subjects := []string{"$JS.API.INFO"}
	if s.site.Domain != "" {
		for _, other := range l.sites {
			subjects = append(subjects, "$JS."+other.Domain+".API.INFO")
		}
	}
	for _, subject := range subjects {
		if _, err := app.RequestWithContext(ctx, subject, nil); err != nil {
			return fmt.Errorf("request %s: %w", subject, err)
		}
	}
	return nil
}

// metaComplete checks that a server knows its meta leader and, when it is the
// leader, that all members are there.
func (l *Lab) metaComplete(ctx context.Context, s *Server, sys *nats.Conn) error {
	var js server.JSInfo
	if err := askServer(ctx, sys, "JSZ", &js); err != nil {
		return err
	}
	m := js.Meta
	if m == nil || m.Leader == "" {
		return errors.New("no meta leader")
	}
	if m.Leader != s.Name {
		return nil
	}
	if want := len(l.metaMembers(s.site)); m.Size != want {
		return fmt.Errorf("meta group: %d members, want %d", m.Size, want)
	}
	for _, r := range m.Replicas {
		if r.Offline || !r.Current {
			return fmt.Errorf("meta member %s: offline %v, current %v", r.Name, r.Offline, r.Current)
		}
	}
	return nil
}

// metaMembers lists the servers of a site's meta group.
func (l *Lab) metaMembers(s *Site) []*Server {
	if l.opts.Topology == Domains {
		return s.servers
	}
	return l.allServers()
}

// askServer asks the connected server itself for one of its monitoring pages.
func askServer(ctx context.Context, sys *nats.Conn, page string, into any) error {
	subject := "$SYS.REQ.SERVER." + sys.ConnectedServerId() + "." + page
	msg, err := sys.RequestWithContext(ctx, subject, nil)
	if err != nil {
		return fmt.Errorf("request %s: %w", page, err)
	}
	answer := struct {
		Data  any              `json:"data"`
		Error *server.ApiError `json:"error"`
	}{Data: into}
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return fmt.Errorf("decode %s: %w", page, err)
	}
	if answer.Error != nil {
		return fmt.Errorf("request %s: %w", page, answer.Error)
	}
	return nil
}

// connect opens a direct connection for the lab's own use.
func (s *Server) connect(user, password string) (*nats.Conn, error) {
	return nats.Connect(s.URL(), nats.UserInfo(user, password), nats.NoReconnect(),
		nats.Timeout(pollTimeout), nats.Name("understudy lab"))
}

// died returns an error with the end of the log when the process ended.
func (s *Server) died() error {
	if s.Running() {
		return nil
	}
	text, err := os.ReadFile(s.LogFile())
	if err != nil {
		return fmt.Errorf("%s: %w", s.Name, errServerDied)
	}
	if len(text) > logTail {
		text = text[len(text)-logTail:]
	}
	return fmt.Errorf("%s: %w; its log ends:\n%s", s.Name, errServerDied, bytes.TrimSpace(text))
}
