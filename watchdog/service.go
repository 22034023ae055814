package watchdog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/understudy-ha/understudy/election"
	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/config"
	"github.com/understudy-ha/understudy/watchdog/consumers"
	"github.com/understudy-ha/understudy/watchdog/jsapi"
	"github.com/understudy-ha/understudy/watchdog/probe"
)

// Options of one watchdog.
type Options struct {
	Config *config.Config
	// ConfigFile is read again on a reload; "" refuses reloads.
	ConfigFile string
	Log        *slog.Logger
	// Level, when set, follows log.level at a reload.
	Level   *slog.LevelVar
	Version string
	// Signals are those of CatchSignals, when the program caught them before it read the config; nil: Run does it.
	Signals <-chan os.Signal
}

// service is one running watchdog.
type service struct {
	o       Options
	log     *slog.Logger
	self    config.Peer
	replica *replica
	node    *election.Node
	probe   *probe.Observer
	keeper  *consumers.Keeper
	metrics *metrics
	looking pulse     // of the probe's loop
	pulse   termPulse // of the term's, while this node leads
	stop    context.CancelCauseFunc

	reloading sync.Mutex // held by one reload, from its reading of the file to its end

	mu    sync.RWMutex
	conf  *config.Config
	rules policy.Rules
	hash  string
	live  *live // of the term that this node leads; nil while it does not
	// refused is why the newest reload was refused; "" once one was taken over.
	refused string
}

// errTerminate ends Run in good order.
var errTerminate = errors.New("asked to stop")

// Run runs one watchdog until ctx ends or a signal asks it to stop; both are in good order and return nil. Signals are
// caught from its first line on, or by the program before, see signals.go.
func Run(ctx context.Context, o Options) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	s := &service{
		o: o, log: o.Log.With("node", o.Config.Node), self: o.Config.Self(), stop: stop,
		replica: newReplica(),
	}
	s.looking.beat()
	s.setConfig(o.Config)
	s.metrics = newMetrics(prometheus.NewRegistry(), s)
	s.metrics.guard(s.Rules().Streams)
	signals := s.catchSignals()
	defer signals.close()
	if err := s.openKeeper(); err != nil {
		return err
	}
	if err := s.openNode(); err != nil {
		return err
	}
	defer s.node.Close()
	s.probe = probe.New(probe.Options{Node: o.Config.Node, Site: s.self.Site, Log: s.log.With("part", "probe"), Looked: s.metrics.looked, Beat: s.looking.beat})
	s.configureProbe()
	err := s.runParts(ctx, signals)
	if errors.Is(err, errTerminate) || errors.Is(err, context.Canceled) {
		s.log.Info("stopped")
		return nil
	}
	return err
}

// runParts runs everything until one part fails or ctx ends, and waits for all. The node stops last: a leader hands
// over once its term's work has ended.
func (s *service) runParts(ctx context.Context, signals *signals) error {
	listeners, err := s.listen()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var parts sync.WaitGroup
	run := func(name string, f func(context.Context) error) {
		parts.Go(func() {
			if err := f(ctx); err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("%s: %w", name, err))
			}
		})
	}
	run("probe", s.probe.Run)
	if len(s.Rules().Streams) > 0 {
		run("consumers", s.keeper.Run)
	}
	run("election", func(ctx context.Context) error { return s.node.Run(ctx, s.leadTerm) })
	run("http", listeners.serve)
	run("signals", signals.serve)
	run("systemd", s.notifySystemd)
	s.log.Info("watchdog runs", "site", s.self.Site, "version", s.o.Version, "streams", len(s.Rules().Streams), "config_hash", s.Hash(), "http", s.o.Config.HTTP.Listen)
	<-ctx.Done()
	parts.Wait()
	return context.Cause(ctx)
}

// leadTerm is lead with a pulse.
func (s *service) leadTerm(ctx context.Context, et election.Term) error {
	return s.pulse.during(ctx, func() error { return s.lead(ctx, et) })
}

// openNode opens the raft store and registers what peers may ask.
func (s *service) openNode() error {
	c := s.o.Config
	o := election.Options{
		ID: c.Node, Bind: c.PeerListen(), DataDir: c.DataDir, FSM: s.replica, Log: s.log.With("part", "election"),
		Heartbeat: c.Raft.Heartbeat, Election: c.Raft.Election, Lease: c.Raft.Lease,
	}
	for id, p := range c.Peers {
		o.Peers = append(o.Peers, election.Peer{ID: id, Addr: p.Addr})
	}
	if c.TLS != nil {
		o.TLS = &election.TLSFiles{Cert: c.TLS.Cert, Key: c.TLS.Key, CA: c.TLS.CA}
	}
	node, err := election.Open(o)
	if err != nil {
		return err
	}
	s.node = node
	node.Handle(methodReport, s.serveReport)
	node.Handle(methodAdmin, s.serveAdmin)
	node.Handle(methodStatus, s.serveStatus)
	node.Handle(methodHistory, s.serveHistory)
	node.Handle(methodConsumers, s.serveConsumers)
	return nil
}

// setConfig takes over a checked config.
func (s *service) setConfig(c *config.Config) {
	rules := c.Rules()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conf, s.rules, s.hash, s.refused = c, rules, rules.Hash(), ""
}

// Config is the config in force.
func (s *service) Config() *config.Config {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.conf
}

// Rules are the decision-relevant part of it.
func (s *service) Rules() policy.Rules {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.rules
}

// Hash is Rules().Hash().
func (s *service) Hash() string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.hash
}

func (s *service) configureProbe() {
	c := s.Config()
	logins := map[probe.Entry]jsapi.Login{}
	for site, l := range siteLogins(c) {
		logins[probe.Entry{Site: site}] = l
	}
	s.probe.Configure(probe.Config{Rules: s.Rules(), Timeout: c.Probe.Timeout, Logins: logins})
}

// siteLogins are the logins of a config, by site.
func siteLogins(c *config.Config) map[string]jsapi.Login {
	logins := map[string]jsapi.Login{}
	for name, site := range c.Sites {
		l := jsapi.Login{
			Name: "understudy " + c.Node, Servers: site.Servers, Domain: site.Domain,
			Creds: site.Creds, NKey: site.NKey, User: site.User, PasswordFile: site.PasswordFile,
		}
		if t := site.TLS; t != nil {
			l.TLSCert, l.TLSKey, l.TLSCA = t.Cert, t.Key, t.CA
		}
		logins[name] = l
	}
	return logins
}
