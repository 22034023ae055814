// Package demo shows one failover, or its refusal, on real servers: it builds a lab of sites, a group of watchdogs and
// publishers, does a fault to the origin's site, tells what is seen and decided, and accounts for every message. As a story
// it goes on until the origin is the primary again.
//
// It owns the scene, the fault, the publishers and the accounts. It must not help the watchdogs, nor judge by anything
// but what the servers hold, what the watchdogs log and the table in testdata. Start reading at Run.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/natslab"
	"github.com/understudy-ha/understudy/watchdog/screen"
)

// Options of a demo. The zero value kills the origin's site of three domains.
type Options struct {
	Topology natslab.Topology // default domains
	Servers  int              // per site: 1 (default) or 3
	Fault    Fault            // default kill
	Mode     policy.Mode      // default unattended
	After    time.Duration    // the threshold; default 5s
	// Story goes on after the failover: the origin returns, its tail is salvaged and replayed, and it becomes the primary
	// again.
	Story bool
	// SpareLeader leaves the watchdogs' leadership at a surviving site.
	SpareLeader bool
	// Keep leaves the servers' and watchdogs' files.
	Keep bool

	Out  io.Writer
	JSON bool // the timeline as JSON lines, and the result as the last one
	// Colour paints what a word says already.
	Colour screen.Paint
}

// MinThreshold is the shortest one that a config may have.
const MinThreshold = 5 * time.Second

func (o Options) withDefaults() Options {
	if o.Topology == "" {
		o.Topology = natslab.Domains
	}
	if o.Servers == 0 {
		o.Servers = 1
	}
	if o.Fault == "" {
		o.Fault = Kill
	}
	if o.Mode == "" {
		o.Mode = policy.ModeUnattended
	}
	if o.After == 0 {
		o.After = MinThreshold
	}
	if o.Out == nil {
		o.Out = io.Discard
	}
	return o
}

// Validate names the option that is wrong, and what would be right.
func (o Options) Validate() error {
	o = o.withDefaults()
	topologies := []natslab.Topology{natslab.Domains, natslab.Supercluster, natslab.TwoCluster}
	modes := []policy.Mode{policy.ModeAlertOnly, policy.ModeManual, policy.ModeUnattended}
	switch {
	case !slices.Contains(topologies, o.Topology):
		return fmt.Errorf("topology %q: want %s", o.Topology, oneOf(topologies))
	case !slices.Contains(Faults(), o.Fault):
		return fmt.Errorf("fault %q: want %s", o.Fault, oneOf(Faults()))
	case !slices.Contains(modes, o.Mode):
		return fmt.Errorf("mode %q: want %s", o.Mode, oneOf(modes))
	case o.Servers != 1 && o.Servers != 3:
		return fmt.Errorf("servers %d: want 1 or 3 a site", o.Servers)
	case o.After < MinThreshold || o.After > time.Minute:
		return fmt.Errorf("after %s: want %s to 1m", o.After, MinThreshold)
	case o.Story:
		return o.validateStory()
	}
	return nil
}

func oneOf[S ~string](list []S) string {
	words := make([]string, len(list))
	for i, s := range list {
		words[i] = string(s)
	}
	return strings.Join(words, ", ")
}

// buildTime bounds the building of the scene; slow machines need it.
const buildTime = 90 * time.Second

// Run plays one demo and returns its result. An error means that the demo itself could not be played; a play that
// ended otherwise than expected is a result that is not OK.
func Run(ctx context.Context, o Options) (_ Result, err error) {
	o = o.withDefaults()
	if err := o.Validate(); err != nil {
		return Result{}, err
	}
	t := newTeller(o)
	s := &scene{o: o, tell: t}
	defer func() { err = errors.Join(err, s.close()) }()
	r, err := play(ctx, s)
	if ctx.Err() != nil {
		return Result{}, fmt.Errorf("interrupted: %w", ctx.Err())
	}
	if err != nil {
		t.logs(s)
		return Result{}, err
	}
	if !r.OK {
		t.logs(s)
	}
	return r, t.result(r, s)
}

// play is the plot: build, fault, watch, account.
func play(ctx context.Context, s *scene) (Result, error) {
	building, cancel := context.WithTimeout(ctx, buildTime)
	defer cancel()
	if err := s.build(building); err != nil {
		return Result{}, fmt.Errorf("build the scene: %w", err)
	}
	p, err := startPublishers(building, s)
	if err != nil {
		return Result{}, fmt.Errorf("start the publishers: %w", err)
	}
	defer p.stop()
	if err := s.ready(building, p); err != nil {
		return Result{}, fmt.Errorf("wait until all is well: %w", err)
	}
	w := newWatcher(s, p)
	if s.o.Story {
		return playStory(ctx, w)
	}
	if err := s.doFault(ctx, w, p); err != nil {
		return Result{}, fmt.Errorf("do the fault: %w", err)
	}
	if err := w.untilSettled(ctx); err != nil {
		return Result{}, err
	}
	p.stop()
	return s.account(ctx, w, p)
}
