package demo

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/understudy-ha/understudy/watchdog/grouplab"
	"github.com/understudy-ha/understudy/watchdog/natslab"
)

// Fault is what happens to the origin.
type Fault string

// The faults.
const (
	Kill        Fault = "kill"
	Shutdown    Fault = "shutdown"
	Pause       Fault = "pause"
	Partition   Fault = "partition"
	Flap        Fault = "flap"
	Delete      Fault = "delete"
	Credentials Fault = "credentials"
)

// Faults lists them all.
func Faults() []Fault {
	return []Fault{Kill, Shutdown, Pause, Partition, Flap, Delete, Credentials}
}

const (
	flaps    = 3
	flapRest = 2 * time.Second // up between two flaps
	// actTime bounds the doing of a fault.
	actTime = 20 * time.Second
)

// doFault does the fault, while the watcher tells what becomes of it, and returns when it is done.
func (s *scene) doFault(ctx context.Context, w *watcher, p *publishers) error {
	w.begin(ctx, faultText(s.o))
	return s.inflict(ctx)
}

// inflict does it.
func (s *scene) inflict(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, actTime+flaps*(s.o.After+flapRest))
	defer cancel()
	site := s.lab.Site(origin)
	switch s.o.Fault {
	case Kill:
		return atOnce(s.dog().Kill, site.Kill)
	case Shutdown:
		return atOnce(func() error { return s.dog().Signal(syscall.SIGTERM) }, func() error { return site.Shutdown(ctx) })
	case Pause:
		return atOnce(func() error { return s.dog().Signal(syscall.SIGSTOP) }, site.Pause)
	case Partition:
		return s.lab.Cut(origin, natslab.BlackHole)
	case Flap:
		return s.flap(ctx)
	case Delete:
		return s.deleteOrigin(ctx)
	case Credentials:
		return site.SetPassword(ctx, "changed-by-somebody")
	}
	return fmt.Errorf("fault %q is not known", s.o.Fault)
}

// dog is the watchdog at the origin's site.
func (s *scene) dog() *grouplab.Dog { return s.group.Dog("wd-" + origin) }

// atOnce does all at the same time, as a site that loses its power does.
func atOnce(acts ...func() error) error {
	errs := make([]error, len(acts))
	var all sync.WaitGroup
	for i, act := range acts {
		all.Go(func() { errs[i] = act() })
	}
	all.Wait()
	return errors.Join(errs...)
}

// flap freezes the origin's servers again and again, each time for half of the threshold.
func (s *scene) flap(ctx context.Context) error {
	site := s.lab.Site(origin)
	for i := range flaps {
		if i > 0 {
			s.tell.now("FAULT", "fault", fmt.Sprintf("%s is frozen again", origin))
		}
		if err := site.Pause(); err != nil {
			return err
		}
		wait(ctx, s.o.After/2)
		if err := site.Resume(); err != nil {
			return err
		}
		s.tell.now("FAULT", "fault", fmt.Sprintf("%s runs again, after %s", origin, s.o.After/2))
		if !wait(ctx, flapRest) {
			return ctx.Err()
		}
	}
	return nil
}

func (s *scene) deleteOrigin(ctx context.Context) error {
	nc, err := s.connect(ctx, origin)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	return js.DeleteStream(ctx, streamName)
}

// faultText says what is done, in plain words.
func faultText(o Options) string {
	servers := "its server"
	if o.Servers > 1 {
		servers = fmt.Sprintf("its %d servers", o.Servers)
	}
	dog := "its watchdog, the leader"
	if o.SpareLeader {
		dog = "its watchdog"
	}
	switch o.Fault {
	case Kill:
		return fmt.Sprintf("site %s is killed with SIGKILL: %s and %s", origin, servers, dog)
	case Shutdown:
		return fmt.Sprintf("site %s is shut down cleanly: %s and %s", origin, servers, dog)
	case Pause:
		return fmt.Sprintf("site %s freezes (SIGSTOP): %s and %s; its connections stay open", origin, servers, dog)
	case Partition:
		return fmt.Sprintf("site %s is cut off from all others, silently; inside, it lives on", origin)
	case Flap:
		return fmt.Sprintf("site %s freezes %d times for %s, less than the threshold", origin, flaps, o.After/2)
	case Delete:
		return fmt.Sprintf("somebody deletes the stream %s at %s", streamName, origin)
	case Credentials:
		return fmt.Sprintf("the password changes at site %s: every watchdog's login there is refused", origin)
	}
	return string(o.Fault)
}
