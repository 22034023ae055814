package watchdog_test

import (
	"flag"
	"slices"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/natslab"
)

// switchovers is how many of them TestSwitchover makes in each world.
var switchovers = flag.Int("switchovers", 0, "of TestSwitchover in each world; 0: 20 when -run names it, else 2")

func runs() int {
	switch {
	case *switchovers > 0:
		return *switchovers
	case whole("TestSwitchover"):
		return 20
	}
	return 2
}

// TestSwitchover leads a stream to and fro under load, and beside it, on the same servers and under the same load, one
// that nobody guards by bare calls.
func TestSwitchover(t *testing.T) {
	for _, c := range []struct {
		name     string
		topology natslab.Topology
		servers  int
	}{
		{"R1", natslab.Domains, 1},
		{"R3", natslab.Supercluster, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := start(t, setup{topology: c.topology, servers: c.servers, dogs: []string{"east", "west", "eu"},
				streams: []stream{{name: "GUARDED", onlyWest: true, extra: "rejoin: auto\n    repoint: auto"}}})
			w.pause = 100 * time.Millisecond // to look at the status takes time from what is measured
			toAndFro(t, w, c.servers, runs())
		})
	}
}

func toAndFro(t *testing.T, w *world, replicas, n int) {
	b := w.newBare(t, "BARE", replicas)
	guarded, unguarded := w.newLoad(t, "GUARDED", "east", "west"), w.newLoad(t, "BARE", "east", "west")
	var ours, theirs []time.Duration
	names := map[string]string{"east": "GUARDED", "west": "GUARDED_WEST"}
	site := ""
	for i := range n {
		site = []string{"west", "east"}[i%2]
		ours = append(ours, guarded.measure(t, w, func() { w.switchOver(t, "GUARDED", site) }))
		w.awaitState(t, 2*outage, "GUARDED", api.StateHealthy, policy.Healthy)
		theirs = append(theirs, unguarded.measure(t, w, func() { b.switchOver(t) }))
		b.rebuild(t)
		t.Logf("to %s: gap %s, by bare calls %s", site, round(ours[len(ours)-1]), round(theirs[len(theirs)-1]))
	}
	guarded.check(t, w, site, names[site])
	unguarded.check(t, w, b.site, b.stream(b.site))
	t.Logf("gap of %d switchovers, median: %s, by bare calls %s: %.1f times", n, round(median(ours)), round(median(theirs)),
		float64(median(ours))/float64(median(theirs)))
}

// measure is the longest time without an ack around f, under load.
func (l *load) measure(t *testing.T, w *world, f func()) time.Duration {
	t.Helper()
	l.start(t, w)
	before := l.count()
	f()
	w.await(t, soon, func() error { return l.flows(before) })
	gap := l.gap(before) // what stopping them one by one makes of it does not count
	l.stop()
	return gap
}

func round(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }

func median(d []time.Duration) time.Duration {
	d = slices.Clone(d)
	slices.Sort(d)
	return d[len(d)/2]
}
