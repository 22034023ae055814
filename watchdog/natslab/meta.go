package natslab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// ErrNoSharedMeta is returned where a lab has a meta group per site, not one.
var ErrNoSharedMeta = errors.New("the sites share no meta group")

// ErrNoMetaLeader is returned while no server claims to lead the meta group.
var ErrNoMetaLeader = errors.New("no meta leader")

// metaPatience is how long a step-down may take; an election by timeout takes 4
// to 9 s.
const metaPatience = 10 * time.Second

// MetaLeader finds the leader of the shared meta group: the server that most of
// the running ones take for it. A leader whose site was cut off a moment ago may
// still take itself for it.
func (l *Lab) MetaLeader(ctx context.Context) (*Server, error) {
	if l.opts.Topology == Domains {
		return nil, ErrNoSharedMeta
	}
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		votes = make(map[string]int)
	)
	for _, s := range l.allServers() {
		wg.Go(func() {
			name, err := s.metaLeaderSeen(ctx)
			if err != nil || name == "" {
				return // dead, paused, or between leaders: no vote
			}
			mu.Lock()
			defer mu.Unlock()
			votes[name]++
		})
	}
	wg.Wait()
	var best *Server
	for _, s := range l.allServers() {
		if votes[s.Name] > 0 && (best == nil || votes[s.Name] > votes[best.Name]) {
			best = s
		}
	}
	if best == nil {
		return nil, ErrNoMetaLeader
	}
	return best, nil
}

// metaLeaderSeen asks one server for the leader it knows of.
func (s *Server) metaLeaderSeen(ctx context.Context) (string, error) {
	p := s.process()
	if p == nil {
		return "", ErrNotRunning
	}
	if paused, err := stopped(p.pid()); paused || err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	sys, err := s.connect(SysUser, sysPassword)
	if err != nil {
		return "", err
	}
	defer sys.Close()
	var js server.JSInfo
	if err := askServer(ctx, sys, "JSZ", &js); err != nil || js.Meta == nil {
		return "", err
	}
	return js.Meta.Leader, nil
}

// MoveMetaLeader moves the shared meta group's leadership to a server of a site,
// and returns when it is there.
func (l *Lab) MoveMetaLeader(ctx context.Context, site string) error {
	return l.moveMeta(ctx, &server.Placement{Cluster: site}, func(leader *Server) bool {
		return leader.site.Name == site
	})
}

// StepDownMeta makes the meta leader resign, and returns when another leads.
func (l *Lab) StepDownMeta(ctx context.Context) error {
	old, err := l.MetaLeader(ctx)
	if err != nil {
		return fmt.Errorf("step the meta leader down: %w", err)
	}
	return l.moveMeta(ctx, nil, func(leader *Server) bool { return leader != old })
}

// moveMeta asks for a new leader and waits until it is as wanted. It asks again
// only when the request failed or led nowhere: a leader that has just taken over
// would step down at once.
func (l *Lab) moveMeta(ctx context.Context, to *server.Placement, wanted func(*Server) bool) error {
	var asked time.Time
	err := poll(ctx, func(try context.Context) error {
		leader, err := l.MetaLeader(ctx)
		if err != nil || wanted(leader) {
			return err
		}
		if time.Since(asked) > metaPatience {
			if err := leader.stepDown(try, to); err != nil {
				return err
			}
			asked = time.Now()
		}
		return fmt.Errorf("the meta leader is still %s", leader.Name)
	})
	if err != nil {
		return fmt.Errorf("move the meta leader: %w", err)
	}
	return nil
}

// stepDown asks a meta leader to hand over to a place.
func (s *Server) stepDown(ctx context.Context, to *server.Placement) error {
	sys, err := s.connect(SysUser, sysPassword)
	if err != nil {
		return err
	}
	defer sys.Close()
	body, err := json.Marshal(server.JSApiLeaderStepdownRequest{Placement: to})
	if err != nil {
		return err
	}
	msg, err := sys.RequestWithContext(ctx, server.JSApiLeaderStepDown, body)
	if err != nil {
		return fmt.Errorf("request a step-down of %s: %w", s.Name, err)
	}
	var answer server.JSApiLeaderStepDownResponse
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return err
	}
	if answer.Error != nil {
		return fmt.Errorf("step down %s: %w", s.Name, answer.Error)
	}
	return nil
}
