package watchdog

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/understudy-ha/understudy/election"
	"github.com/understudy-ha/understudy/watchdog/api"
)

// TestHealth judges a process by its own loops, and its readiness by its group and its config.
func TestHealth(t *testing.T) {
	well := vitals{patience: lively, group: election.Status{State: "follower", Quorum: true}}
	for name, test := range map[string]struct {
		change      func(*vitals)
		live, ready bool
		text        string // of what is not well
	}{
		"well":                 {func(*vitals) {}, true, true, ""},
		"nobody asks":          {func(v *vitals) { v.leading = 0 }, true, true, ""},
		"slow round":           {func(v *vitals) { v.leading, v.patience = time.Minute, 2*time.Minute }, true, true, ""},
		"stuck probe":          {func(v *vitals) { v.looking = time.Minute }, false, true, "probe's loop stands still since 1m0s"},
		"stuck term":           {func(v *vitals) { v.leading = time.Minute }, false, true, "rounds stand still since 1m0s"},
		"stuck without quorum": {func(v *vitals) { v.looking, v.group.Quorum = time.Minute, false }, false, false, "stands still"},
		"no quorum":            {func(v *vitals) { v.group.Quorum = false }, true, false, "no quorum: follower"},
		"no commit":            {func(v *vitals) { v.group.CommitAge = time.Minute }, true, false, "nothing was committed for 1m0s"},
		"store":                {func(v *vitals) { v.group.WriteError = "disk full" }, true, false, "disk full"},
		"refused reload":       {func(v *vitals) { v.refused = "u.yaml:3:1: mode" }, true, false, "u.yaml:3:1: mode"},
	} {
		t.Run(name, func(t *testing.T) {
			v := well
			test.change(&v)
			h := v.health()
			text := h.ReadyText
			if !h.Live {
				text = h.LiveText
			}
			if h.Live != test.live || h.Ready != test.ready || !strings.Contains(text, test.text) {
				t.Errorf("got %+v, want live %v, ready %v, %q", h, test.live, test.ready, test.text)
			}
		})
	}
}

// TestTermPulse has a term that is lost end late, while others still ask this node for reports.
func TestTermPulse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p termPulse
		age := func(want time.Duration) {
			t.Helper()
			if got := p.age(); got != want {
				t.Errorf("age %s, want %s", got, want)
			}
		}
		p.beat()
		time.Sleep(time.Minute)
		age(0) // it does not lead
		term, lose := context.WithCancel(t.Context())
		err := p.during(term, func() error {
			time.Sleep(time.Second)
			age(time.Second)
			p.beat()
			age(0)
			lose()
			for range 60 {
				time.Sleep(time.Second)
				p.beat()
			}
			age(time.Minute)
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		age(0)
	})
}

func TestSystemd(t *testing.T) {
	var sd systemd
	const ready, fed = "READY=1", "WATCHDOG=1\nSTATUS=fine"
	for i, step := range []struct {
		live  bool
		state string
		want  []string
	}{
		{true, raftStopped, []string{fed}},
		{true, "candidate", []string{ready, fed}}, // it waits for its peers
		{true, "follower", []string{fed}},
		{false, "follower", nil},
		{true, "follower", []string{fed}},
	} {
		got := sd.states(api.Health{Live: step.live, ReadyText: "fine"}, election.Status{State: step.state})
		if !slices.Equal(got, step.want) {
			t.Errorf("step %d: got %q, want %q", i, got, step.want)
		}
	}
}
