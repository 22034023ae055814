// Package natslab runs a lab of real nats-servers for the demo and for tests:
// sites that can be killed, paused, restarted and cut off from each other.
//
// It owns the servers' processes, ports, stores and the links between sites. It
// must know nothing of failover. Read Start first, then Site and the Cut methods
// of Lab; DESIGN.md tells how links are cut and why no process is left behind.
package natslab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
)

// Topology is the way in which the sites are joined.
type Topology string

const (
	// Domains has a JetStream domain per site (east, west, eu), each a leafnode
	// of a hub without JetStream.
	Domains Topology = "domains"
	// Supercluster joins the sites (east, west, eu) by gateways into one
	// JetStream domain with one meta group.
	Supercluster Topology = "supercluster"
	// TwoCluster is a Supercluster of two sites (east, west): either's loss is
	// the loss of the meta quorum.
	TwoCluster Topology = "twocluster"
)

// The accounts' users. All sites have them; AppUser's password can be changed
// by Site.SetPassword.
const (
	AppUser     = "app"   // JetStream account APP
	NoAPIUser   = "noapi" // account APP, may not publish to the JetStream API
	SysUser     = "sys"   // system account SYS
	AppAccount  = "APP"
	SysAccount  = "SYS"
	AppPassword = "app-password"

	noAPIPassword = "noapi-password"
	sysPassword   = "sys-password"

	hubName = "hub"
)

// Options of a lab. The zero value is a Domains lab of one server a site in a
// temporary folder.
type Options struct {
	Topology Topology
	Servers  int          // per site: 1 (default) or 3
	Dir      string       // where stores, configs and logs go; default: a new temporary folder
	Keep     bool         // keep the folder on Close
	Log      *slog.Logger // default: discard
}

// Lab is a running set of sites.
type Lab struct {
	opts     Options
	log      *slog.Logger
	dir      string
	ports    *ports
	launcher *launcher
	links    *links
	sites    []*Site
	hub      *Site // nil unless Domains

	closeOnce sync.Once
	closeErr  error
}

// Start runs a lab and returns when all of it is ready: every server takes
// connections, every link is up, the JetStream API answers at every site. The
// context bounds the start only.
func Start(ctx context.Context, o Options) (*Lab, error) {
	l, err := newLab(o)
	if err != nil {
		return nil, err
	}
	if err := l.launch(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start the %s lab: %w", l.opts.Topology, err), l.Close())
	}
	l.log.Info("lab ready", "topology", string(l.opts.Topology), "servers_per_site", l.opts.Servers, "dir", l.dir)
	return l, nil
}

func newLab(o Options) (*Lab, error) {
	if o.Topology == "" {
		o.Topology = Domains
	}
	if o.Servers == 0 {
		o.Servers = 1
	}
	if o.Servers != 1 && o.Servers != 3 {
		return nil, fmt.Errorf("servers per site: %d, want 1 or 3", o.Servers)
	}
	if !slices.Contains([]Topology{Domains, Supercluster, TwoCluster}, o.Topology) {
		return nil, fmt.Errorf("topology: %q, want %s, %s or %s", o.Topology, Domains, Supercluster, TwoCluster)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	l := &Lab{opts: o, log: o.Log, dir: o.Dir}
	var err error
	if l.ports, err = newPorts(); err != nil {
		return nil, err
	}
	l.links = newLinks(l.ports)
	if l.dir == "" {
		l.dir, err = os.MkdirTemp("", "understudy-lab-")
	} else {
		err = os.MkdirAll(l.dir, 0o755)
	}
	if err != nil {
		return nil, fmt.Errorf("make the lab's folder: %w", err)
	}
	if l.launcher, err = newLauncher(); err != nil {
		return nil, err
	}
	return l, nil
}

// launch lays out the sites, starts their servers and waits until all is ready.
func (l *Lab) launch(ctx context.Context) error {
	if err := l.layOut(); err != nil {
		return err
	}
	defer close(l.links.hold)
	for _, s := range l.allServers() {
		if err := s.start(); err != nil {
			return err
		}
	}
	return l.WaitReady(ctx)
}

// Close kills all servers, ends all links and removes the folder.
func (l *Lab) Close() error {
	l.closeOnce.Do(func() {
		var errs []error
		for _, s := range l.allServers() {
			errs = append(errs, s.Kill())
		}
		l.launcher.close()
		errs = append(errs, l.links.close())
		l.ports.release()
		if !l.opts.Keep {
			errs = append(errs, os.RemoveAll(l.dir))
		}
		l.closeErr = errors.Join(errs...)
	})
	return l.closeErr
}

// Topology is the one that the lab was started with.
func (l *Lab) Topology() Topology { return l.opts.Topology }

// Dir is the folder of all configs, stores and logs.
func (l *Lab) Dir() string { return l.dir }

// Sites lists the sites in the order east, west, eu, without the hub.
func (l *Lab) Sites() []*Site { return slices.Clone(l.sites) }

// Hub is the site that joins the leafnodes; nil unless Domains.
func (l *Lab) Hub() *Site { return l.hub }

// Site finds a site, or the hub, by name; nil when there is none.
func (l *Lab) Site(name string) *Site {
	for _, s := range l.allSites() {
		if s.Name == name {
			return s
		}
	}
	return nil
}

func (l *Lab) allSites() []*Site {
	if l.hub == nil {
		return l.sites
	}
	return append([]*Site{l.hub}, l.sites...)
}

func (l *Lab) allServers() []*Server {
	var all []*Server
	for _, s := range l.allSites() {
		all = append(all, s.servers...)
	}
	return all
}
