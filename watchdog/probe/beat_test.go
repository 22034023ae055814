package probe_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/probe"
)

// TestBeatsWhateverTheIntervals lets nobody ask, before any config and with an interval of ten minutes.
func TestBeatsWhateverTheIntervals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var beats atomic.Int64
		o := probe.New(probe.Options{Node: "wd", Site: office, Beat: func() { beats.Add(1) }})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- o.Run(ctx) }()
		for _, when := range []string{"before the first config", "with long intervals"} {
			before := beats.Load()
			time.Sleep(time.Minute)
			if n := beats.Load() - before; n < 20 {
				t.Errorf("%s: %d beats in a minute, want 20 at least", when, n)
			}
			seldom := policy.StreamRules{Name: stream, Origin: origin, Interval: 10 * time.Minute}
			o.Configure(probe.Config{Rules: policy.Rules{Streams: map[string]policy.StreamRules{stream: seldom}}, Timeout: time.Second})
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
