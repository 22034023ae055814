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
	methodReport    = "report"
	methodAdmin     = "admin"
	methodStatus    = "status"
	methodHistory   = "history"
	methodConsumers = "consumers"
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
	rep := s.probe.Look(ctx, r.Term, r.Round, r.Streams)
	rep.ConfigHash = s.Hash()
	return json.Marshal(rep)
}

// collector keeps, through one term, what each watchdog last reported of each stream: a round asks only for the
// streams that are due, and must not push out what was said of the others.
type collector struct {
	s       *service
	mu      sync.Mutex
	asked   map[string]int       // questions under way, by watchdog
	late    map[string]bool      // watchdogs that did not answer the newest question in time
	reports map[string]*reported // by watchdog
	wg      sync.WaitGroup
}

// reported is what one watchdog reported.
type reported struct {
	newest  policy.Report // without streams
	streams map[string]streamReport
}

// streamReport is a report of one stream. It remembers when it came, so that its ages go on growing.
type streamReport struct {
	policy.StreamReport
	term, round uint64
	at          time.Time
}

func newCollector(s *service) *collector {
	return &collector{s: s, asked: map[string]int{}, late: map[string]bool{}, reports: map[string]*reported{}}
}

// mostAsked is how many questions to one watchdog may be under way: a slow one is asked about other streams meanwhile.
const mostAsked = 3

// collect asks every watchdog, and waits for the answers until timeout. One that let the last question wait is asked,
// but not waited for: a dead host must not slow every round down. A late answer serves a later round, if it is fresh
// enough then.
func (c *collector) collect(ctx context.Context, r reportRequest, timeout time.Duration) {
	var round sync.WaitGroup
	answered := make(chan struct{})
	for node := range c.s.Rules().Watchdogs {
		ask, await := c.mayAsk(node)
		if !ask {
			continue
		}
		if await {
			round.Add(1)
		}
		c.wg.Go(func() {
			c.ask(ctx, node, r, timeout)
			if await {
				round.Done()
			}
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
}

// mayAsk says whether a watchdog is to be asked, and whether its answer is worth waiting for. It counts as late until
// it has answered in time.
func (c *collector) mayAsk(node string) (ask, await bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked[node] >= mostAsked {
		return false, false
	}
	await = !c.late[node]
	c.asked[node]++
	c.late[node] = true
	return true, await
}

// answered ends a question.
func (c *collector) answered(node string, inTime bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked[node]--
	c.late[node] = !inTime
}

func (c *collector) ask(ctx context.Context, node string, r reportRequest, inTime time.Duration) {
	began, ok := time.Now(), false
	defer func() { c.answered(node, ok && time.Since(began) <= inTime) }()
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
	c.keep(rep, time.Now())
	ok = true
}

// keep takes over what a report says.
func (c *collector) keep(rep policy.Report, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	of := c.reports[rep.Node]
	if of == nil {
		of = &reported{streams: map[string]streamReport{}}
		c.reports[rep.Node] = of
	}
	for name, s := range rep.Streams {
		if rep.Round < of.streams[name].round {
			continue // overtaken by the answer to a later question
		}
		of.streams[name] = streamReport{StreamReport: s, term: rep.Term, round: rep.Round, at: at}
	}
	rep.Streams = nil
	of.newest = rep
}

// of returns what each watchdog last reported of one stream, with its ages as of now.
func (c *collector) of(stream string) []policy.Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []policy.Report
	for _, r := range c.reports {
		rep := r.newest
		s, ok := r.streams[stream]
		if !ok {
			continue
		}
		rep.Term, rep.Round = s.term, s.round
		rep.Streams = map[string]policy.StreamReport{stream: aged(s.StreamReport, time.Since(s.at))}
		list = append(list, rep)
	}
	return list
}

// newest returns the newest report of each watchdog, without its streams.
func (c *collector) newest() []policy.Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]policy.Report, 0, len(c.reports))
	for _, r := range c.reports {
		list = append(list, r.newest)
	}
	return list
}

// aged returns a copy in which everything is older by d.
func aged(s policy.StreamReport, d time.Duration) policy.StreamReport {
	members := make(map[string]policy.MemberReport, len(s.Members))
	for key, m := range s.Members {
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
	return policy.StreamReport{Members: members}
}

func (c *collector) wait() { c.wg.Wait() }
