package watchdog

import (
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
)

const namespace = "understudy"

// metrics are built from an injected registry. What has a current value is read from the status at each scrape; what
// counts is counted where it happens.
type metrics struct {
	registry  *prometheus.Registry
	decisions *prometheus.CounterVec
	failovers *prometheus.CounterVec
	phases    *prometheus.HistogramVec
	probes    *prometheus.HistogramVec

	mu      sync.Mutex
	streams map[string]policy.StreamRules // those of the config in force: the others have no series
}

func newMetrics(r *prometheus.Registry, s *service) *metrics {
	m := &metrics{
		registry: r,
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: "decisions_total",
			Help: "Evaluations of this node as leader, by reason."}, []string{"stream", "reason"}),
		failovers: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: "failovers_total",
			Help: "Failovers, switchovers and fences ahead of the threshold that ended while this node led, by result."}, []string{"stream", "kind", "result"}),
		phases: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: "failover_phase_seconds",
			Help: "Time that a phase took.", Buckets: prometheus.ExponentialBuckets(0.001, 4, 8)}, []string{"phase"}),
		probes: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: "probe_seconds",
			Help: "Time that a look took, by what it met.", Buckets: prometheus.ExponentialBuckets(0.0005, 4, 8)}, []string{"site", "evidence"}),
	}
	r.MustRegister(m.decisions, m.failovers, m.phases, m.probes, &statusCollector{s: s})
	return m
}

// looked books a look under the site that was asked, which need not be the member's own.
func (m *metrics) looked(_ string, _ policy.MemberID, l policy.Look) {
	m.probes.WithLabelValues(l.Via, string(l.Evidence)).Observe(l.Took.Seconds())
}

// guard takes over the streams of a config, and deletes the series of those that it no longer has.
func (m *metrics) guard(streams map[string]policy.StreamRules) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name := range m.streams {
		if _, stays := streams[name]; !stays {
			m.decisions.DeletePartialMatch(prometheus.Labels{"stream": name})
			m.failovers.DeletePartialMatch(prometheus.Labels{"stream": name})
		}
	}
	m.streams = streams
}

// count counts for a guarded stream only: a round that began before a reload must not bring back what that deleted.
func (m *metrics) count(v *prometheus.CounterVec, stream string, labels ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, guarded := m.streams[stream]; guarded {
		v.WithLabelValues(append([]string{stream}, labels...)...).Inc()
	}
}

func (m *metrics) decided(stream string, c policy.Code) { m.count(m.decisions, stream, string(c)) }

// told counts what the history says.
func (m *metrics) told(s policy.State, e policy.Entry) {
	st := s.Streams[e.Stream]
	switch e.Kind {
	case "failover_completed":
		m.count(m.failovers, e.Stream, "failover", "completed")
	case "failover_aborted":
		m.count(m.failovers, e.Stream, "failover", "aborted")
	case "fence_completed":
		m.count(m.failovers, e.Stream, "fence", "completed")
	case "fence_aborted":
		m.count(m.failovers, e.Stream, "fence", "aborted")
	case "switchover_completed":
		m.count(m.failovers, e.Stream, "switchover", "completed")
	case "switchover_aborted":
		m.count(m.failovers, e.Stream, "switchover", "aborted")
	}
	for _, a := range []*policy.Attempt{st.Attempt, st.Last} {
		if e.Kind == "phase_done" || e.Kind == "failover_completed" {
			if a != nil && a.Epoch == e.Epoch && len(a.Steps) > 0 && a.Steps[len(a.Steps)-1].At.Equal(e.At) {
				last := a.Steps[len(a.Steps)-1]
				if e.Kind == "phase_done" {
					m.phases.WithLabelValues(string(last.Phase)).Observe(last.Took.Seconds())
				}
			}
		}
	}
}

// statusCollector turns the node's own status into gauges.
type statusCollector struct{ s *service }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(namespace+"_"+name, help, labels, nil)
}

var (
	originUp      = desc("origin_up", "1 when the primary is seen up, 0 when agreed down, -1 when that is not known.", "stream")
	outageSeconds = desc("outage_seconds", "Witnessed time without the primary.", "stream")
	threshold     = desc("outage_threshold_seconds", "Outage after which it counts as permanent.", "stream")
	behind        = desc("mirror_behind_messages", "Messages that a mirror lacks, by the highest sequence ever seen.", "stream", "site", "mirror")
	lastContact   = desc("mirror_last_contact_seconds", "Time since a mirror's last frame from its origin; -1 never or unknown.", "stream", "site", "mirror")
	loss          = desc("estimated_loss_messages", "Messages that a failover now would leave behind, estimated; absent while unknown.", "stream")
	lossLimit     = desc("loss_limit_messages", "The configured limit of it.", "stream")
	eligible      = desc("eligible_mirrors", "Mirrors that could be promoted now.", "stream")
	stateGauge    = desc("state", "1 for the state that the stream is in.", "stream", "state")
	wouldHave     = desc("would_have_failed_over_total", "Failovers that alert-only mode kept from happening.", "stream")
	dualCapture   = desc("dual_capture_seconds", "Time in which a returned origin took messages beside the primary: as seen, or as its messages show if that is more.", "stream")
	dualMessages  = desc("dual_capture_messages", "Messages that returned origins stored beside the primary, counted in their archives.", "stream")
	salvaged      = desc("salvaged_messages_total", "Messages of former primaries that were archived and verified.", "stream")
	waiting       = desc("salvage_waiting_messages", "Archived messages that the primary lacks, as far as this log knows.", "stream")
	lostMessages  = desc("lost_messages_total", "Messages that were given up with an origin that was deleted unread (release: delete), at least so many, or that one was seen to hold and came back without.", "stream")
	heldGauge     = desc("held", "1 while held; stream \"\" is the whole group.", "stream")
	raftLeader    = desc("raft_leader", "1 when this node leads.")
	raftQuorum    = desc("raft_quorum", "1 when this node is part of a working majority.")
	commitAge     = desc("raft_commit_age_seconds", "Time since the last commit that this node knows of.")
	buildInfo     = desc("build_info", "1, with the build's version.", "version", "goversion")
)

func (c *statusCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{originUp, outageSeconds, threshold, behind, lastContact, loss, lossLimit, eligible,
		stateGauge, wouldHave, salvaged, waiting, lostMessages, dualCapture, dualMessages, heldGauge, raftLeader, raftQuorum, commitAge, buildInfo} {
		ch <- d
	}
}

// Collect gives what this node knows of itself, and of the streams what it knows as the leader: everybody's copy of the
// log would be a view that stands still.
func (c *statusCollector) Collect(ch chan<- prometheus.Metric) {
	l, leads := c.s.leading()
	es := c.s.node.Status()
	gauge := gauges(ch)
	gauge(raftLeader, bit(es.State == "leader"))
	gauge(raftQuorum, bit(es.Quorum))
	gauge(commitAge, es.CommitAge.Seconds())
	gauge(buildInfo, 1, c.s.o.Version, runtime.Version())
	gauge(heldGauge, bit(c.s.replica.State().Hold.Held), "")
	if !leads {
		return
	}
	for _, b := range c.s.builders(l, es.Quorum) {
		collectStream(ch, b, time.Now())
	}
}

// gauges sends gauges to a collector's channel.
func gauges(ch chan<- prometheus.Metric) func(d *prometheus.Desc, v float64, labels ...string) {
	return func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
}

// collectStream gives a stream's series; none until this leader has looked at it.
func collectStream(ch chan<- prometheus.Metric, b streamBuilder, now time.Time) {
	if !b.isLive {
		return
	}
	gauge, s := gauges(ch), b.build()
	gauge(outageSeconds, float64(s.OutageMS)/1000, s.Name)
	gauge(threshold, float64(s.ThresholdMS)/1000, s.Name)
	if s.Loss.Known {
		gauge(loss, float64(s.Loss.Estimated), s.Name)
	}
	gauge(lossLimit, float64(s.LossLimit), s.Name)
	gauge(heldGauge, bit(s.Held), s.Name)
	gauge(originUp, upValue(b.round.Agreement), s.Name)
	gauge(dualCapture, exposed(s.DualCapture, now), s.Name)
	captured, _ := b.st.Captured()
	gauge(dualMessages, float64(captured), s.Name)
	ch <- prometheus.MustNewConstMetric(wouldHave, prometheus.CounterValue, float64(s.WouldHave), s.Name)
	archived, left := 0.0, 0.0
	for _, a := range s.Archives {
		archived, left = archived+float64(a.Messages), left+float64(a.Waiting())
	}
	ch <- prometheus.MustNewConstMetric(salvaged, prometheus.CounterValue, archived, s.Name)
	ch <- prometheus.MustNewConstMetric(lostMessages, prometheus.CounterValue, float64(s.Lost), s.Name)
	gauge(waiting, left, s.Name)
	n := 0
	for _, m := range s.Members {
		if m.Eligible {
			n++
		}
		if m.Role == "mirror" {
			gauge(behind, float64(m.Behind), s.Name, m.Site, m.Stream)
			gauge(lastContact, contact(m.ActiveMS), s.Name, m.Site, m.Stream)
		}
	}
	gauge(eligible, float64(n), s.Name)
	for _, name := range []string{api.StateHealthy, api.StateSuspect, api.StateDown, api.StateFailingOver, api.StateFailedOver,
		api.StateSwitchingOver, api.StateReturned, api.StateRejoining, api.StateHeld, api.StateUnknown} {
		gauge(stateGauge, bit(s.State == name), s.Name, name)
	}
}

func contact(ms int64) float64 {
	if ms < 0 {
		return -1
	}
	return float64(ms) / 1000
}

// upValue follows what the watchdogs agree on: one vote proves no outage.
func upValue(a policy.Agreement) float64 {
	switch a {
	case policy.AgreedUp:
		return 1
	case policy.AgreedDown:
		return 0
	}
	return -1
}

// exposed sums up what is over and what still lasts.
func exposed(list []policy.Capture, now time.Time) float64 {
	total := 0.0
	for _, c := range list {
		total += c.Exposed(now).Seconds()
	}
	return total
}

func bit(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
