package watchdog

import (
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/understudy-ha/understudy/policy"
)

// one collects the series of one stream.
type one struct {
	b   streamBuilder
	now time.Time
}

func (one) Describe(chan<- *prometheus.Desc) {}

func (o one) Collect(ch chan<- prometheus.Metric) { collectStream(ch, o.b, o.now) }

// series gathers as a scrape does, and names each sample by its values of labels, in the order of the labels' names.
func series(t *testing.T, r *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	samples := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			key := []string{strings.TrimPrefix(f.GetName(), namespace+"_")}
			for _, l := range m.GetLabel() {
				key = append(key, l.GetValue())
			}
			samples[strings.Join(key, " ")] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return samples
}

func scraped(t *testing.T, b streamBuilder, now time.Time) map[string]float64 {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(one{b, now})
	return series(t, r)
}

// TestStreamMetrics has two mirrors at one site, as many a site has; their series must not be the same.
func TestStreamMetrics(t *testing.T) {
	began := time.Now()
	down := agreed(policy.AgreedDown, policy.ThresholdPending, policy.Down, policy.Timeout)
	disagree := agreed(policy.NotAgreed, policy.TooFewObservers, policy.Down, policy.Timeout)
	known := map[string]policy.MemberState{east.String(): {ID: east, Best: &policy.Snapshot{LastSeq: 7}},
		west.String(): {ID: west, Best: &policy.Snapshot{LastSeq: 4}}, both.String(): {ID: both, Best: &policy.Snapshot{LastSeq: 5}}}
	for name, test := range map[string]struct {
		change func(*streamBuilder)
		want   map[string]float64
		absent string
	}{
		"two mirrors at a site": {func(b *streamBuilder) { b.st.Members = known },
			map[string]float64{"mirror_behind_messages EVENTS_W west EVENTS": 3, "mirror_behind_messages EVENTS_W2 west EVENTS": 2,
				"origin_up EVENTS": 1, "estimated_loss_messages EVENTS": 2, "mirror_last_contact_seconds EVENTS_EU eu EVENTS": -1}, ""},
		"loss unknown": {func(*streamBuilder) {}, map[string]float64{"origin_up EVENTS": 1}, "estimated_loss_messages EVENTS"},
		"down":         {func(b *streamBuilder) { b.round.StreamRound = down }, map[string]float64{"origin_up EVENTS": 0}, ""},
		"one vote of an outage before": {func(b *streamBuilder) {
			b.round.StreamRound = disagree
			b.st.Clock.Outage = time.Second
		}, map[string]float64{"origin_up EVENTS": -1, "outage_seconds EVENTS": 1}, ""},
		"captures": {func(b *streamBuilder) {
			b.st.DualCapture = []policy.Capture{{SeenAt: began.Add(-time.Minute), Fenced: began.Add(-50 * time.Second)}, {SeenAt: began.Add(-5 * time.Second)}}
		}, map[string]float64{"dual_capture_seconds EVENTS": 15, "dual_capture_messages EVENTS": 0}, ""},
		"captures, measured": {func(b *streamBuilder) {
			b.st.DualCapture = []policy.Capture{{SeenAt: began.Add(-time.Minute), Fenced: began.Add(-50 * time.Second),
				Stored: &policy.Stored{Messages: 3, FirstAt: began.Add(-62 * time.Second), LastAt: began.Add(-50 * time.Second)}}}
		}, map[string]float64{"dual_capture_seconds EVENTS": 12, "dual_capture_messages EVENTS": 3}, ""},
		"clocks differ": {func(b *streamBuilder) { b.st.DualCapture = []policy.Capture{{SeenAt: began.Add(time.Second)}} },
			map[string]float64{"dual_capture_seconds EVENTS": 0}, ""},
		"no view": {notLive, map[string]float64{}, "origin_up EVENTS"},
	} {
		t.Run(name, func(t *testing.T) {
			got := scraped(t, built(test.change), began)
			for key, want := range test.want {
				if v, ok := got[key]; !ok || v != want {
					t.Errorf("%s is %v (there: %v), want %v", key, v, ok, want)
				}
			}
			if _, ok := got[test.absent]; ok {
				t.Errorf("%s is there", test.absent)
			}
		})
	}
}

// TestMetricsForgetStreams has a reload replace a stream, and a round that began before it end after it.
func TestMetricsForgetStreams(t *testing.T) {
	r := prometheus.NewRegistry()
	m := newMetrics(r, nil)
	r.Unregister(&statusCollector{})
	streams := func(names ...string) map[string]policy.StreamRules {
		rules := map[string]policy.StreamRules{}
		for _, name := range names {
			rules[name] = policy.StreamRules{Name: name}
		}
		return rules
	}
	m.guard(streams("EVENTS", "ORDERS"))
	for _, name := range []string{"EVENTS", "ORDERS"} {
		m.decided(name, policy.Healthy)
		m.told(policy.NewState(), policy.Entry{Stream: name, Kind: "failover_completed"})
	}
	m.guard(streams("ORDERS", "PAYMENTS"))
	m.decided("EVENTS", policy.ConfigMismatch)
	m.decided("PAYMENTS", policy.Healthy)
	want := []string{"decisions_total healthy ORDERS", "decisions_total healthy PAYMENTS", "failovers_total failover completed ORDERS"}
	if got := slices.Sorted(maps.Keys(series(t, r))); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// doubled gives the same series twice.
type doubled struct{}

func (doubled) Describe(chan<- *prometheus.Desc) {}

func (doubled) Collect(ch chan<- prometheus.Metric) {
	gauges(ch)(originUp, 1, "EVENTS")
	gauges(ch)(originUp, 0, "EVENTS")
	gauges(ch)(raftQuorum, 1)
}

// TestScrapeDespiteError wants a wrong series to be logged, and all others to be served.
func TestScrapeDespiteError(t *testing.T) {
	r := prometheus.NewRegistry()
	r.MustRegister(doubled{})
	var log strings.Builder
	w := httptest.NewRecorder()
	scrapes(r, slog.New(slog.NewTextHandler(&log, nil))).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "understudy_raft_quorum 1") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	if !strings.Contains(log.String(), "understudy_origin_up") {
		t.Errorf("logged: %q", log.String())
	}
}

func TestALookIsBookedUnderTheSiteThatWasAsked(t *testing.T) {
	m := newMetrics(prometheus.NewRegistry(), nil)
	m.looked("ORDERS", policy.MemberID{Site: "east", Stream: "ORDERS"}, policy.Look{Via: "west", Evidence: policy.Timeout, Took: time.Second})
	if m.probes.DeleteLabelValues("east", "timeout") {
		t.Error("booked under east, which was not asked")
	}
	if !m.probes.DeleteLabelValues("west", "timeout") {
		t.Error("not booked under west")
	}
}
