package watchdog

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/policy"
)

// The calls that watchdogs make to each other, over the peers' own port and not over the NATS being watched.
const (
	methodReport  = "report"
	methodAdmin   = "admin"
	methodStatus  = "status"
	methodHistory = "history"
)

// reportRequest asks an observer for a fresh look.
type reportRequest struct {
	Term    uint64   `json:"term"`
	Round   uint64   `json:"round"`
	Streams []string `json:"streams"`
}

// serveReport looks now, and answers with what was seen.
func (s *service) serveReport(ctx context.Context, _ string, req []byte) ([]byte, error) {
	var r reportRequest
	if err := json.Unmarshal(req, &r); err != nil {
		return nil, fmt.Errorf("report request: %w", err)
	}
	s.pulse.beat()
	rep := s.probe.Look(ctx, r.Term, r.Round, r.Streams)
	rep.ConfigHash = s.Hash()
	return json.Marshal(rep)
}

// collector keeps the newest report of each watchdog through one term.
type collector struct {
	s       *service
	mu      sync.Mutex
	busy    map[string]bool
	reports map[string]timedReport
	wg      sync.WaitGroup
}

// timedReport remembers when a report came, so that its ages go on growing.
type timedReport struct {
	policy.Report
	at time.Time
}

func newCollector(s *service) *collector {
	return &collector{s: s, busy: map[string]bool{}, reports: map[string]timedReport{}}
}

// collect asks every watchdog, waits for the answers until timeout, and returns the newest report of each. One that
// is slow is not asked twice at once; its answer serves a later round, if it is fresh enough then.
func (c *collector) collect(ctx context.Context, r reportRequest, timeout time.Duration) []policy.Report {
	var round sync.WaitGroup
	answered := make(chan struct{})
	for node := range c.s.Rules().Watchdogs {
		c.mu.Lock()
		skip := c.busy[node]
		c.busy[node] = true
		c.mu.Unlock()
		if skip {
			continue
		}
		round.Add(1)
		c.wg.Go(func() {
			defer round.Done()
			c.ask(ctx, node, r)
		})
	}
	c.wg.Go(func() { round.Wait(); close(answered) })
	t := time.NewTimer(timeout)
	defer t.Stop()
	select {
	case <-answered:
	case <-t.C:
	case <-ctx.Done():
	}
	return c.newest()
}

func (c *collector) ask(ctx context.Context, node string, r reportRequest) {
	defer func() {
		c.mu.Lock()
		c.busy[node] = false
		c.mu.Unlock()
	}()
	body, err := json.Marshal(r)
	if err != nil {
		return // plain numbers and names: cannot happen
	}
	// A little more than the probe itself may take, so that a late answer still comes to something.
	ctx, cancel := context.WithTimeout(ctx, 2*c.s.Config().Probe.Timeout+time.Second)
	defer cancel()
	answer, err := c.s.node.Call(ctx, node, methodReport, body)
	if err != nil {
		c.s.log.Debug("no report", "peer", node, "error", err)
		return
	}
	var rep policy.Report
	if err := json.Unmarshal(answer, &rep); err != nil || rep.Node != node {
		c.s.log.Warn("report cannot be read", "peer", node, "error", err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reports[node] = timedReport{Report: rep, at: time.Now()}
}

// newest returns the reports with their ages as of now.
func (c *collector) newest() []policy.Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]policy.Report, 0, len(c.reports))
	for _, r := range c.reports {
		list = append(list, r.aged(time.Since(r.at)))
	}
	return list
}

// aged returns a copy in which everything is older by d.
func (r timedReport) aged(d time.Duration) policy.Report {
	rep := r.Report
	rep.Streams = make(map[string]policy.StreamReport, len(r.Streams))
	for name, sr := range r.Streams {
		members := make(map[string]policy.MemberReport, len(sr.Members))
		for key, m := range sr.Members {
			looks := make([]policy.Look, len(m.Looks))
			for i, l := range m.Looks {
				l.Age += d
				looks[i] = l
			}
			m.Looks = looks
			if m.Last != nil {
				last := *m.Last
				last.Age += d
				m.Last = &last
			}
			members[key] = m
		}
		rep.Streams[name] = policy.StreamReport{Members: members}
	}
	return rep
}

func (c *collector) wait() { c.wg.Wait() }
