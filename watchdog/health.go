package watchdog

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/understudy-ha/understudy/watchdog/api"
)

const (
	// lively is how old the newest sign of progress may be.
	lively = 15 * time.Second
	// committedLately is how old the newest commit may be: an idle leader commits every ten seconds.
	committedLately = 30 * time.Second
)

// Health answers the health endpoints. It is about this process and its group, never about the origin.
func (s *service) Health() api.Health {
	es := s.node.Status()
	h := api.Health{Live: true, LiveText: "loops advance", Ready: true, ReadyText: "raft has committed lately"}
	if age := s.pulse.age(); age > lively && es.Quorum {
		h.Live, h.LiveText = false, fmt.Sprintf("no round was served for %s", age.Round(time.Second))
	}
	switch {
	case es.WriteError != "":
		h.Ready, h.ReadyText = false, "the raft store cannot be written: "+es.WriteError
	case !es.Quorum:
		h.Ready, h.ReadyText = false, "no quorum: "+es.State
	case es.CommitAge > committedLately:
		h.Ready, h.ReadyText = false, fmt.Sprintf("nothing was committed for %s", es.CommitAge.Round(time.Second))
	}
	return h
}

// notifySystemd says READY once the node has joined, and feeds the watchdog timer by real progress only. Outside of
// systemd it does nothing.
func (s *service) notifySystemd(ctx context.Context) error {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil || every == 0 {
		every = 2 * time.Second
	}
	ready := false
	tick := time.NewTicker(min(every/3, time.Second))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			_, err := daemon.SdNotify(false, daemon.SdNotifyStopping)
			return err
		case <-tick.C:
		}
		h := s.Health()
		if !ready {
			// A node that waits for its peers is up: systemd must not restart it for that.
			ready = true
			if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
				s.log.Warn("systemd not notified", "error", err)
			}
		}
		if h.Live {
			if _, err := daemon.SdNotify(false, daemon.SdNotifyWatchdog+"\nSTATUS="+h.ReadyText); err != nil {
				s.log.Warn("systemd not notified", "error", err)
			}
		}
	}
}

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
