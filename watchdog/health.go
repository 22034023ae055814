package watchdog

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/understudy-ha/understudy/election"
	"github.com/understudy-ha/understudy/watchdog/api"
)

const (
	// lively is how old the newest sign of progress of a loop may be: each goes round every few seconds at least,
	// whatever is configured.
	lively = 15 * time.Second
	// committedLately is how old the newest commit may be: an idle leader commits every ten seconds.
	committedLately = 30 * time.Second
	// raftStopped is the state of a node whose raft does not run (yet).
	raftStopped = "stopped"
)

// vitals are what the health of this process is judged by.
type vitals struct {
	looking  time.Duration // since the probe's own loop last went round
	leading  time.Duration // since the term's did; 0 while this node does not lead
	patience time.Duration // how long a round of the term may take
	group    election.Status
	refused  string // why the newest reload was refused; "" once one was taken over
}

// Health answers the health endpoints. It is about this process and its group, never about the origin.
func (s *service) Health() api.Health {
	return s.vitals().health()
}

func (s *service) vitals() vitals {
	timeout := s.Config().Probe.Timeout
	s.mu.RLock()
	defer s.mu.RUnlock()
	return vitals{
		looking: s.looking.age(), leading: s.pulse.age(), group: s.node.Status(), refused: s.refused,
		// A round waits for the reports, and one that begins a failover asks its target.
		patience: lively + 2*timeout + handsTimeout(timeout),
	}
}

// health judges each by the loops of its own: a leader that stands still must not make those fail which wait for its
// questions, and a quorum that is lost excuses nobody.
func (v vitals) health() api.Health {
	h := api.Health{Live: true, LiveText: "loops advance", Ready: true, ReadyText: "raft has committed lately"}
	switch {
	case v.looking > lively:
		h.Live, h.LiveText = false, fmt.Sprintf("the probe's loop stands still since %s", v.looking.Round(time.Second))
	case v.leading > v.patience:
		h.Live, h.LiveText = false, fmt.Sprintf("this leader's rounds stand still since %s", v.leading.Round(time.Second))
	}
	switch {
	case v.group.WriteError != "":
		h.Ready, h.ReadyText = false, "the raft store cannot be written: "+v.group.WriteError
	case !v.group.Quorum:
		h.Ready, h.ReadyText = false, "no quorum: "+v.group.State
	case v.group.CommitAge > committedLately:
		h.Ready, h.ReadyText = false, fmt.Sprintf("nothing was committed for %s", v.group.CommitAge.Round(time.Second))
	case v.refused != "":
		h.Ready, h.ReadyText = false, "the last reload was refused, and the file would keep this watchdog from starting again: "+v.refused
	}
	return h
}

// notifySystemd tells systemd how this process is. Outside of systemd it does nothing.
func (s *service) notifySystemd(ctx context.Context) error {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil || every == 0 {
		every = 2 * time.Second
	}
	var sd systemd
	tick := time.NewTicker(min(every/3, time.Second))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			_, err := daemon.SdNotify(false, daemon.SdNotifyStopping)
			return err
		case <-tick.C:
		}
		v := s.vitals()
		for _, state := range sd.states(v.health(), v.group) {
			if _, err := daemon.SdNotify(false, state); err != nil {
				s.log.Warn("systemd not notified", "error", err)
			}
		}
	}
}

// systemd is what systemd has been told.
type systemd struct{ ready bool }

// states are what to tell systemd now: READY once raft runs, when the listeners are bound already; and its watchdog
// timer is fed by real progress only. A node that waits for its peers is up: systemd must not restart it for that.
func (sd *systemd) states(h api.Health, group election.Status) []string {
	var states []string
	if !sd.ready && group.State != raftStopped {
		sd.ready = true
		states = append(states, daemon.SdNotifyReady)
	}
	if h.Live {
		states = append(states, daemon.SdNotifyWatchdog+"\nSTATUS="+h.ReadyText)
	}
	return states
}

// pulse is the proof that a loop of this process advances.
type pulse struct {
	mu   sync.Mutex
	last time.Time
}

func (p *pulse) beat() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = time.Now()
}

func (p *pulse) age() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Since(p.last)
}

// termPulse is that of a term's loop: it counts from the term's begin until its work has ended.
type termPulse struct {
	pulse
	term context.Context // of the newest term; nil when its work has ended
}

// during runs one term.
func (p *termPulse) during(term context.Context, lead func() error) error {
	p.mu.Lock()
	p.term, p.last = term, time.Now()
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.term = nil
	}()
	return lead()
}

// beat counts only while the term lasts: once it is over, its work has to end, whatever else still beats.
func (p *termPulse) beat() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.term != nil && p.term.Err() == nil {
		p.last = time.Now()
	}
}

// age is 0 while there is no term.
func (p *termPulse) age() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.term == nil {
		return 0
	}
	return time.Since(p.last)
}

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
