package natslab

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// links owns the proxies between sites and the cuts they obey, those made
// before a link existed included.
type links struct {
	ports *ports
	hold  chan struct{} // closed when the lab is ready, see Proxy.dial

	mu      sync.Mutex
	proxies map[linkKey]*Proxy
	sites   map[string]rule
	pairs   map[pair]rule
}

type linkKey struct{ from, to, target string }

// pair is two sites in alphabetical order.
type pair struct{ a, b string }

// rule is what was asked of a site's or a pair's links.
type rule struct {
	state LinkState
	delay time.Duration
}

func newLinks(p *ports) *links {
	return &links{
		ports:   p,
		hold:    make(chan struct{}),
		proxies: make(map[linkKey]*Proxy),
		sites:   make(map[string]rule),
		pairs:   make(map[pair]rule),
	}
}

func pairOf(a, b string) pair {
	if b < a {
		a, b = b, a
	}
	return pair{a, b}
}

// get returns the link for a key, made at first use.
func (l *links) get(k linkKey) (*Proxy, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p := l.proxies[k]; p != nil {
		return p, nil
	}
	addr, err := l.ports.take()
	if err != nil {
		return nil, err
	}
	p, err := newProxy(addr, k.target, l.hold)
	if err != nil {
		return nil, err
	}
	l.proxies[k] = p
	return p, l.applyLocked(k, p)
}

// change edits the rules, then brings every link in line.
func (l *links) change(edit func()) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	edit()
	var errs []error
	for k, p := range l.proxies {
		errs = append(errs, l.applyLocked(k, p))
	}
	return errors.Join(errs...)
}

func (l *links) applyLocked(k linkKey, p *Proxy) error {
	r := merge(l.sites[k.from], merge(l.sites[k.to], l.pairs[pairOf(k.from, k.to)]))
	p.SetDelay(r.delay)
	if err := p.Set(r.state); err != nil {
		return fmt.Errorf("set the link from %s to %s to %s: %w", k.from, k.to, r.state, err)
	}
	return nil
}

// merge gives the stronger cut, a black hole before a refusal, since no refusal
// crosses it, and the longer delay.
func merge(a, b rule) rule {
	return rule{state: max(a.state, b.state), delay: max(a.delay, b.delay)}
}

func (l *links) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, p := range l.proxies {
		errs = append(errs, p.Close())
	}
	return errors.Join(errs...)
}

// Link returns the address of a TCP link from one site to an address at another.
// It obeys the cuts of both sites. The same arguments give the same link. From
// a site to itself it is the target.
func (l *Lab) Link(from, to, target string) (string, error) {
	if from == to {
		return target, nil
	}
	p, err := l.links.get(linkKey{from, to, target})
	if err != nil {
		return "", fmt.Errorf("link %s to %s at %s: %w", from, to, target, err)
	}
	return p.Addr(), nil
}

// Cut sets all links to and from a site, in both directions. Servers of one site
// stay joined.
func (l *Lab) Cut(site string, how LinkState) error {
	return l.links.change(func() {
		r := l.links.sites[site]
		r.state = how
		l.links.sites[site] = r
	})
}

// Heal opens a site's links again, except those that another site's cut or a
// pair's holds.
func (l *Lab) Heal(site string) error { return l.Cut(site, Open) }

// CutPair sets the links between two sites, in both directions. In Domains the
// sites' leafnodes meet at the hub: cut a site from "hub" to stop its
// replication.
func (l *Lab) CutPair(a, b string, how LinkState) error {
	return l.links.change(func() {
		r := l.links.pairs[pairOf(a, b)]
		r.state = how
		l.links.pairs[pairOf(a, b)] = r
	})
}

// HealPair opens the links between two sites again, unless a site's cut holds
// them.
func (l *Lab) HealPair(a, b string) error { return l.CutPair(a, b, Open) }

// Delay adds latency to each direction of all links of a site; 0 ends it.
func (l *Lab) Delay(site string, d time.Duration) error {
	return l.links.change(func() {
		r := l.links.sites[site]
		r.delay = d
		l.links.sites[site] = r
	})
}

// DelayPair adds latency to each direction between two sites; 0 ends it.
func (l *Lab) DelayPair(a, b string, d time.Duration) error {
	return l.links.change(func() {
		r := l.links.pairs[pairOf(a, b)]
		r.delay = d
		l.links.pairs[pairOf(a, b)] = r
	})
}

// Forwarded counts the bytes that crossed all links between two sites.
func (l *Lab) Forwarded(a, b string) int64 {
	l.links.mu.Lock()
	defer l.links.mu.Unlock()
	var n int64
	for k, p := range l.links.proxies {
		if pairOf(k.from, k.to) == pairOf(a, b) {
			n += p.Forwarded()
		}
	}
	return n
}
