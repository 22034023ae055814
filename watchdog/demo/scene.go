package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/grouplab"
	"github.com/understudy-ha/understudy/watchdog/natslab"
)

// The cast: one stream, its origin and its mirrors.
const (
	streamName = "EVENTS"
	origin     = "east"
	subjects   = "events.>"
)

// mirrorOf is the name of a site's mirror; witness is the site of a watchdog where there are no servers.
var mirrorOf = map[string]string{"west": "EVENTS_W", "eu": "EVENTS_EU"}

const witness = "witness"

// raftSettings differ from the defaults in the lease: a machine that also runs all the servers is a busy one, and a leader
// that steps down over a stall of 250 ms costs the next one five intervals of looking.
const raftSettings = "raft: {heartbeat: 500ms, election: 500ms, lease: 500ms}"

// scene is the lab, the watchdogs and the streams.
type scene struct {
	o     Options
	tell  *teller
	lab   *natslab.Lab
	group *grouplab.Group
}

// spares lists the sites with servers that survive the fault.
func (s *scene) spares() []string {
	var names []string
	for _, site := range s.lab.Sites() {
		if site.Name != origin {
			names = append(names, site.Name)
		}
	}
	return names
}

// dogSites are the sites with a watchdog each. Two sites need a witness: else the loss of one takes the majority.
func (s *scene) dogSites() []string {
	sites := append([]string{origin}, s.spares()...)
	if len(sites) == 2 {
		sites = append(sites, witness)
	}
	return sites
}

func (s *scene) build(ctx context.Context) error {
	s.tell.building(s.o)
	var err error
	if s.lab, err = natslab.Start(ctx, natslab.Options{Topology: s.o.Topology, Servers: s.o.Servers, Keep: s.o.Keep}); err != nil {
		return err
	}
	if s.o.Topology == natslab.Supercluster {
		// The origin's loss must not be an election of the meta group at the same time, which takes up to 9 s.
		if err := s.lab.MoveMetaLeader(ctx, "west"); err != nil {
			return err
		}
	}
	mirrors := map[string]string{}
	if err := s.makeStream(ctx, origin, streamName); err != nil {
		return err
	}
	for _, site := range s.spares() {
		mirrors[site] = mirrorOf[site]
		if err := s.makeStream(ctx, site, mirrorOf[site]); err != nil {
			return err
		}
	}
	s.group, err = grouplab.Start(ctx, grouplab.Options{
		Lab: s.lab, Sites: s.dogSites(),
		Streams:  []grouplab.Stream{{Name: streamName, Origin: origin, Mirrors: mirrors}},
		Settings: grouplab.Settings{Mode: string(s.o.Mode), After: s.o.After, Extra: s.settings()},
	})
	return err
}

// settings are the further lines of the watchdogs' config.
func (s *scene) settings() string {
	if s.o.Story {
		return raftSettings + storySettings
	}
	return raftSettings
}

// makeStream creates the origin or a mirror of it.
func (s *scene) makeStream(ctx context.Context, site, name string) error {
	nc, err := s.lab.Connect(ctx, site, site)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	c := jetstream.StreamConfig{Name: name, Replicas: s.o.Servers}
	if s.o.Topology != natslab.Domains {
		c.Placement = &jetstream.Placement{Cluster: site}
	}
	if site == origin {
		c.Subjects = []string{subjects}
	} else {
		c.Mirror = &jetstream.StreamSource{Name: streamName}
		if d := s.lab.Site(origin).Domain; d != "" {
			c.Mirror.External = &jetstream.ExternalStream{APIPrefix: "$JS." + d + ".API"}
		}
	}
	return poll(ctx, func(ctx context.Context) error {
		_, err := js.CreateOrUpdateStream(ctx, c)
		if err != nil {
			err = fmt.Errorf("create %s at %s: %w", name, site, err)
		}
		return err
	})
}

// connect opens a connection to a site as an application there has it.
func (s *scene) connect(ctx context.Context, site string, opts ...nats.Option) (*nats.Conn, error) {
	return s.lab.Connect(ctx, site, site, opts...)
}

// ready waits until all is healthy and publishing, with the leader where it is wanted.
func (s *scene) ready(ctx context.Context, p *publishers) error {
	leader := "wd-" + origin
	if s.o.SpareLeader {
		leader = "wd-west"
	}
	if err := s.group.MoveLeader(ctx, leader); err != nil {
		return err
	}
	if err := poll(ctx, func(context.Context) error { return p.flowing() }); err != nil {
		return err
	}
	_, err := s.group.WaitStatus(ctx, func(st api.Status) bool {
		e, ok := st.Stream(streamName)
		return ok && st.Leader == leader && e.State == api.StateHealthy && inStep(e)
	})
	if err == nil {
		s.tell.ready(leader)
	}
	return err
}

// inStep reports that every watchdog sees the origin up and every mirror follows it.
func inStep(e api.StreamStatus) bool {
	for _, o := range e.Observers {
		if o.Verdict != "up" {
			return false
		}
	}
	for _, m := range e.Members {
		if m.Role == "mirror" && (!m.Eligible || m.LastSeq == 0 || m.ActiveMS < 0 || m.ActiveMS > 1000) {
			return false
		}
	}
	return len(e.Members) > 1
}

func (s *scene) close() error {
	var errs []error
	if s.group != nil {
		errs = append(errs, s.group.Close())
	}
	if s.lab != nil {
		errs = append(errs, s.lab.Close())
	}
	return errors.Join(errs...)
}

// pollEvery is how often conditions are looked at.
const pollEvery = 25 * time.Millisecond

// poll asks again and again until check returns nil.
func poll(ctx context.Context, check func(context.Context) error) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		try, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := check(try)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-tick.C:
		}
	}
}
