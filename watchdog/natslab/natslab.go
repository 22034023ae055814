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
	"path/filepath"
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
	Keep     bool         // keep the servers' files on Close
	Log      *slog.Logger // default: discard
}

// Lab is a running set of sites.
type Lab struct {
	opts     Options
	log      *slog.Logger
	dir      string
	remove   func() error // of what the lab wrote to dir
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
	ports, err := newPorts()
	if err != nil {
		return nil, err
	}
	dir, remove, err := makeDir(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("make the lab's folder: %w", err)
	}
	launcher, err := newLauncher()
	if err != nil {
		return nil, errors.Join(err, remove())
	}
	if o.Keep {
		remove = func() error { return nil }
	}
	return &Lab{
		opts: o, log: o.Log, dir: dir, remove: remove,
		ports: ports, links: newLinks(ports), launcher: launcher,
	}, nil
}

// makeDir makes the lab's folder, a temporary one by default, and tells how to
// remove it. A folder that was there already is left as it was.
func makeDir(dir string) (string, func() error, error) {
	if dir == "" {
		tmp, err := os.MkdirTemp("", "understudy-lab-")
		return tmp, func() error { return os.RemoveAll(tmp) }, err
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", nil, err
	}
	if _, err := os.Stat(dir); err == nil {
		return dir, func() error { return removeServers(dir) }, nil
	}
	return dir, func() error { return os.RemoveAll(dir) }, os.MkdirAll(dir, 0o755)
}

// removeServers removes the servers' folders: those that hold a server's config.
func removeServers(dir string) error {
	configs, err := filepath.Glob(filepath.Join(dir, "*", configName))
	for _, c := range configs {
		err = errors.Join(err, os.RemoveAll(filepath.Dir(c)))
	}
	return err
}

// launch lays out the sites, starts their servers and waits until all is ready.
func (l *Lab) launch(ctx context.Context) error {
	if err := l.layOut(); err != nil {
		return err
	}
	defer close(l.links.hold)
	if err := startAll(l.allServers()); err != nil {
		return err
	}
	return l.WaitReady(ctx)
}

// Close kills all children, ends all links, removes the servers' files unless
// they are to be kept, and the folder if the lab made it.
func (l *Lab) Close() error {
	l.closeOnce.Do(func() {
		l.closeErr = errors.Join(l.launcher.close(), l.links.close(), l.remove())
		l.ports.release()
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
