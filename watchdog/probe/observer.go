package probe

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

// Options of an Observer; they last as long as it does.
type Options struct {
	Node string // which watchdog this is
	Site string // and where
	Log  *slog.Logger
	// Looked, when set, hears of each look. It is called from many goroutines and must not block.
	Looked func(stream string, id policy.MemberID, l policy.Look)
	// Beat, when set, is called each time that Run's own loop goes round: every few seconds at least, whatever the
	// intervals, and whether anybody asks or not. It must not block.
	Beat func()
	// Concurrency limits the members of one site that are looked at together; default 512. A server's API queue holds
	// 10,000 requests, and drops them all when it overflows.
	Concurrency int
}

// Config is what a reload may change.
type Config struct {
	Rules policy.Rules
	// Timeout limits one probe, from its begin to its answer.
	Timeout time.Duration
	// Logins says how to reach each site. A stream with an account uses that account's entry of a site, and the entry
	// without account where there is none.
	Logins map[Entry]jsapi.Login
}

// Entry names one login: an account ("" for the site's own) at a site.
type Entry struct {
	Account string
	Site    string
}

// Observer looks at all guarded streams, when a leader asks or else by itself, and remembers what it saw.
type Observer struct {
	o       Options
	asked   chan *pass
	changed chan struct{} // pokes Run after Configure

	mu     sync.Mutex
	want   Config
	plan   *plan // nil until the first Configure has been applied
	term   uint64
	round  uint64
	sites  map[Entry]*site
	memory map[string]*guarded // by stream
	heard  time.Time           // when any site last gave a sign of life
}

// New makes an observer that knows no stream yet: Configure it, and Run it.
func New(o Options) *Observer {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Concurrency <= 0 {
		o.Concurrency = 512
	}
	if o.Looked == nil {
		o.Looked = func(string, policy.MemberID, policy.Look) {}
	}
	if o.Beat == nil {
		o.Beat = func() {}
	}
	return &Observer{
		o:       o,
		asked:   make(chan *pass),
		changed: make(chan struct{}, 1),
		sites:   map[Entry]*site{},
		memory:  map[string]*guarded{},
	}
}

// Configure takes over at once if Run is running, else when it begins. Connections whose login is unchanged stay, and
// so does what is remembered of members that are still configured.
func (o *Observer) Configure(c Config) {
	o.mu.Lock()
	o.want = c
	o.mu.Unlock()
	select {
	case o.changed <- struct{}{}:
	default: // Run has yet to see the poke before this one
	}
}

// Run connects to the sites, serves Look, and probes by itself what nobody asks about, until ctx ends. It returns when
// all it has started has ended.
func (o *Observer) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer o.disconnect()
	defer wg.Wait()
	tick := time.NewTicker(maxRhythm)
	defer tick.Stop()
	for {
		o.o.Beat()
		select {
		case <-ctx.Done():
			return nil
		case <-o.changed:
			gone := o.apply()
			wg.Go(func() { closeAll(gone) })
			tick.Reset(o.rhythm())
		case p := <-o.asked:
			o.begin(p)
			wg.Go(func() { o.run(ctx, p) })
		case <-tick.C:
			if p := o.overdue(); p != nil {
				o.begin(p)
				wg.Go(func() { o.run(ctx, p) })
			}
		}
	}
}

// Look begins a probe of the named streams, nil meaning all, waits for it until ctx or the configured timeout ends, and
// answers with the latest looks. term and round are the asking leader's; the report bears the latest ones that were
// known when its oldest look began, so that a look from before a pause of this process cannot pass for a fresh one.
func (o *Observer) Look(ctx context.Context, term, round uint64, streams []string) policy.Report {
	ctx, cancel := context.WithTimeout(ctx, o.hear(term, round))
	defer cancel()
	p := newPass(streams)
	select {
	case o.asked <- p:
		select {
		case <-p.done:
		case <-ctx.Done():
		}
	case <-ctx.Done():
	}
	return o.report(streams)
}

// hear keeps the newest round that any leader named, and returns how long a probe may take.
func (o *Observer) hear(term, round uint64) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	if term > o.term || term == o.term && round > o.round {
		o.term, o.round = term, round
	}
	return o.want.Timeout
}

// begin stamps a pass with what is known now. It runs in Run's own loop, so passes begin in the order of their numbers.
func (o *Observer) begin(p *pass) {
	o.mu.Lock()
	defer o.mu.Unlock()
	p.stamp = stamp{began: time.Now(), term: o.term, round: o.round}
	p.plan = o.plan
	if p.plan == nil {
		return
	}
	if p.streams == nil {
		p.streams = p.plan.names
	}
	for _, name := range p.streams {
		if g := o.memory[name]; g != nil {
			g.began = p.began
		}
	}
}

// overdue makes a pass of the streams that nobody asked about for twice their interval; nil when there are none.
func (o *Observer) overdue() *pass {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.plan == nil {
		return nil
	}
	p := newPass([]string{})
	for _, name := range o.plan.names {
		if g := o.memory[name]; time.Since(g.began) > 2*g.rules.Interval {
			p.streams = append(p.streams, name)
		}
	}
	if len(p.streams) == 0 {
		return nil
	}
	return p
}

// maxRhythm keeps the loop going round where all intervals are long, so that a loop which stands still shows soon.
const maxRhythm = 2 * time.Second

// rhythm is how often overdue is asked: a half of the shortest interval, and never more seldom than maxRhythm.
func (o *Observer) rhythm() time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	shortest := 2 * maxRhythm
	for _, sr := range o.plan.rules.Streams {
		if sr.Interval > 0 {
			shortest = min(shortest, sr.Interval)
		}
	}
	return shortest / 2
}
