package grouplab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/natslab"
)

// Options of a group.
type Options struct {
	Lab      *natslab.Lab
	Streams  []Stream
	Settings Settings
	// Sites with a watchdog each, "wd-<site>"; default: all sites of the lab, and for a lab of two a third watchdog in
	// the first one.
	Sites []string
	// Env are further variables ("NAME=value") of every watchdog process.
	Env []string
}

// Group is a running group of watchdogs.
type Group struct {
	o    Options
	lab  *natslab.Lab
	Dogs []*Dog
}

// Dog is one watchdog.
type Dog struct {
	Name, Site string
	ConfigFile string
	Socket     string
	HTTP       string
	LogFile    string

	g         *Group
	dir, bind string
	proc      atomic.Pointer[natslab.Process] // nil before the first Start
}

// Start writes the configs, starts the watchdogs and waits until they have a leader.
func Start(ctx context.Context, o Options) (*Group, error) {
	o.Settings = o.Settings.withDefaults()
	if len(o.Sites) == 0 {
		for _, s := range o.Lab.Sites() {
			o.Sites = append(o.Sites, s.Name)
		}
		if len(o.Sites) == 2 {
			o.Sites = append(o.Sites, o.Sites[0])
		}
	}
	g := &Group{o: o, lab: o.Lab}
	for i, site := range o.Sites {
		if err := g.add(i, site); err != nil {
			return nil, err
		}
	}
	for _, d := range g.Dogs {
		if err := g.writeConfig(d); err != nil {
			return nil, err
		}
		if err := d.Start(); err != nil {
			return nil, errors.Join(err, g.Close())
		}
	}
	if _, err := g.WaitLeader(ctx); err != nil {
		return nil, errors.Join(err, g.Close())
	}
	return g, nil
}

func (g *Group) add(i int, site string) error {
	d := &Dog{Name: "wd-" + site, Site: site, g: g}
	if g.Dog(d.Name) != nil {
		d.Name = fmt.Sprintf("%s-%d", d.Name, i)
	}
	d.dir = filepath.Join(g.lab.Dir(), d.Name)
	d.ConfigFile, d.LogFile = filepath.Join(d.dir, "understudy.yaml"), filepath.Join(d.dir, "watchdog.log")
	d.Socket = filepath.Join(d.dir, "s") // short: a socket's path has 108 bytes at most
	var err error
	if d.bind, err = g.lab.Address(); err != nil {
		return err
	}
	if d.HTTP, err = g.lab.Address(); err != nil {
		return err
	}
	g.Dogs = append(g.Dogs, d)
	return os.MkdirAll(d.dir, 0o700)
}

// Dog finds a watchdog by name; nil when there is none.
func (g *Group) Dog(name string) *Dog {
	for _, d := range g.Dogs {
		if d.Name == name {
			return d
		}
	}
	return nil
}

// Close kills all watchdogs. It must come before the lab's Close.
func (g *Group) Close() error {
	var errs []error
	for _, d := range g.Dogs {
		errs = append(errs, d.Kill())
	}
	return errors.Join(errs...)
}

// DataDir is the watchdog's data_dir.
func (d *Dog) DataDir() string { return filepath.Join(d.dir, "data") }

// Start starts the watchdog's process, again if it has ended.
func (d *Dog) Start() error {
	env := append([]string{envWatchdog + "=" + d.ConfigFile}, d.g.o.Env...)
	p, err := d.g.lab.Spawn(env, d.LogFile)
	if err != nil {
		return fmt.Errorf("start %s: %w", d.Name, err)
	}
	d.proc.Store(p)
	return nil
}

// Kill ends the watchdog with SIGKILL.
func (d *Dog) Kill() error {
	p := d.proc.Load()
	if p == nil {
		return nil
	}
	return p.Kill()
}

// LoseStore deletes all that a killed watchdog knew.
func (d *Dog) LoseStore() error { return os.RemoveAll(filepath.Join(d.dir, "data")) }

// Signal sends the watchdog a signal.
func (d *Dog) Signal(sig syscall.Signal) error { return d.proc.Load().Signal(sig) }

// Running reports whether its process lives.
func (d *Dog) Running() bool {
	p := d.proc.Load()
	if p == nil {
		return false
	}
	select {
	case <-p.Done():
		return false
	default:
		return true
	}
}

// Done is closed when its process has ended; ExitCode tells how.
func (d *Dog) Done() <-chan struct{} { return d.proc.Load().Done() }

// ExitCode is that of the ended process, -1 when a signal ended it.
func (d *Dog) ExitCode() int { return d.proc.Load().ExitCode() }

// Client asks this watchdog as an operator on its machine would.
func (d *Dog) Client() *api.Client { return api.SocketClient(d.Socket) }

// WaitLeader waits until a majority agrees on a leader that answers, and returns its name.
func (g *Group) WaitLeader(ctx context.Context) (string, error) {
	last := "nobody answered"
	for {
		for _, d := range g.Dogs {
			if !d.Running() {
				continue
			}
			st, err := d.status(ctx)
			if err == nil && st.Quorum && st.Leader == d.Name {
				return d.Name, nil
			}
			if err != nil {
				last = err.Error()
			}
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return "", fmt.Errorf("no leader: %w (last: %s)", err, last)
		}
	}
}

func (d *Dog) status(ctx context.Context) (api.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return d.Client().Status(ctx)
}

// Status asks any running watchdog that has a leader.
func (g *Group) Status(ctx context.Context) (api.Status, error) {
	var errs []error
	for _, d := range g.Dogs {
		if !d.Running() {
			continue
		}
		st, err := d.status(ctx)
		if err == nil && st.Leader != "" && g.Dog(st.Leader).Running() {
			return st, nil
		}
		errs = append(errs, err)
	}
	return api.Status{}, errors.Join(append(errs, errors.New("no watchdog with a leader answers"))...)
}

// MoveLeader makes a watchdog the leader.
func (g *Group) MoveLeader(ctx context.Context, to string) error {
	for {
		leader, err := g.WaitLeader(ctx)
		if err != nil {
			return err
		}
		if leader == to {
			return nil
		}
		resp, err := g.Dog(leader).Client().Do(ctx, api.Request{Verb: "transfer", Node: to, By: "lab"})
		if err == nil && resp.Outcome == api.OutcomeFailed {
			err = errors.New(resp.Reason.Text)
		}
		if perr := pause(ctx, 100*time.Millisecond); perr != nil {
			return fmt.Errorf("move leadership to %s: %w", to, errors.Join(err, perr))
		}
	}
}

// WaitStatus polls until ok accepts a status.
func (g *Group) WaitStatus(ctx context.Context, ok func(api.Status) bool) (api.Status, error) {
	var last api.Status
	for {
		st, err := g.Status(ctx)
		if err == nil {
			last = st
			if ok(st) {
				return st, nil
			}
		}
		if perr := pause(ctx, 20*time.Millisecond); perr != nil {
			return last, fmt.Errorf("status not reached: %w", errors.Join(err, perr))
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
