package natslab

import (
	"fmt"
	"os"
	"path/filepath"
)

// layOut creates the topology's sites, with their ports, links and configs.
func (l *Lab) layOut() error {
	names := []string{"east", "west", "eu"}
	if l.opts.Topology == TwoCluster {
		names = names[:2]
	}
	for _, name := range names {
		site, err := l.newSite(name, l.opts.Servers)
		if err != nil {
			return err
		}
		if l.opts.Topology == Domains {
			site.Domain = name
		}
		l.sites = append(l.sites, site)
	}
	if l.opts.Topology == Domains {
		hub, err := l.newSite(hubName, 1)
		if err != nil {
			return err
		}
		l.hub = hub
	}
	for _, site := range l.allSites() {
		if err := l.linkSite(site); err != nil {
			return err
		}
		if err := site.writeConfigs(); err != nil {
			return err
		}
	}
	return nil
}

// newSite creates a site's servers, with ports of their own.
func (l *Lab) newSite(name string, servers int) (*Site, error) {
	site := &Site{Name: name, lab: l, password: AppPassword}
	for i := range servers {
		s, err := l.newServer(site, fmt.Sprintf("%s-%d", name, i+1))
		if err != nil {
			return nil, err
		}
		site.servers = append(site.servers, s)
	}
	return site, nil
}

func (l *Lab) newServer(site *Site, name string) (*Server, error) {
	dir := filepath.Join(l.dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of %s: %w", name, err)
	}
	s := &Server{Name: name, site: site, dir: dir}
	for _, addr := range []*string{&s.client, &s.cluster, &s.remote} {
		a, err := l.ports.take()
		if err != nil {
			return nil, fmt.Errorf("port for %s: %w", name, err)
		}
		*addr = a
	}
	s.conf = serverConfig{
		Name:      name,
		Listen:    s.client,
		StoreDir:  filepath.Join(dir, "store"),
		JetStream: site.Name != hubName,
	}
	return s, nil
}

// linkSite joins a site's servers to each other, directly, and to the other
// sites, by links.
func (l *Lab) linkSite(site *Site) error {
	for _, s := range site.servers {
		s.conf.Domain = site.Domain
		if l.opts.Topology != Domains || len(site.servers) > 1 {
			s.conf.Cluster, s.conf.ClusterListen = site.Name, s.cluster
			s.conf.Routes = site.routes()
		}
		switch {
		case site == l.hub:
			s.conf.LeafListen = s.remote
		case l.hub != nil:
			urls, err := l.linkAll(site, l.hub)
			if err != nil {
				return err
			}
			s.conf.LeafURLs = urls
		default:
			gateways, err := l.gateways(site)
			if err != nil {
				return err
			}
			s.conf.GatewayListen, s.conf.Gateways = s.remote, gateways
		}
	}
	return nil
}

// gateways lists the other clusters, with a link to each of their servers: the
// number of URLs also tells a new server how large its meta group will be.
func (l *Lab) gateways(site *Site) ([]gatewayRemote, error) {
	var remotes []gatewayRemote
	for _, other := range l.sites {
		if other == site {
			continue
		}
		addrs, err := l.linkAll(site, other)
		if err != nil {
			return nil, err
		}
		g := gatewayRemote{Name: other.Name}
		for _, a := range addrs {
			g.URLs = append(g.URLs, gatewayURL(a))
		}
		remotes = append(remotes, g)
	}
	return remotes, nil
}

// linkAll links a site to the gateway or leafnode port of another's servers.
func (l *Lab) linkAll(from, to *Site) ([]string, error) {
	var addrs []string
	for _, s := range to.servers {
		a, err := l.Link(from.Name, to.Name, s.remote)
		if err != nil {
			return nil, err
		}
		addrs = append(addrs, a)
	}
	return addrs, nil
}
