package probe

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/jsapi"
	"github.com/understudy-ha/understudy/watchdog/look"
)

// path is what one way to a member gave: an answer or an error.
type path struct {
	via          *site
	info         *jsapi.Info
	err          error
	began, ended time.Time
}

// leads says whether a leader answered: nothing that another path says could add to that.
func (a path) leads() bool { return a.err == nil && look.EvidenceOfInfo(a.info) != policy.NoLeader }

// lookAt asks for one member through its own site, and, when that does not answer soon, through the others too. So
// healthy streams cost one request. It was let in at g.own, and stays there until there is room at the next gate: so
// those who wait are few, however many there are to look at.
func (o *Observer) lookAt(ctx context.Context, p *pass, t target, g gates) {
	var wg sync.WaitGroup
	defer wg.Wait()
	own := make(chan path, 1)
	wg.Go(func() { own <- o.ask(ctx, t.own, t.id.Stream) })
	first, ended := soon(own, p.plan.patience())
	if ended && first.leads() {
		g.own.leave()
		o.keep(ctx, p, t, []path{first})
		return
	}
	p.controls[t.own].want()
	entered := g.others.enter(ctx, p.plan.patience())
	g.own.leave()
	some, cancelOthers := context.WithCancel(ctx)
	defer cancelOthers()
	others := make(chan []path, 1)
	if entered {
		wg.Go(func() { others <- o.askOthers(some, p, t, g.others) })
	} else {
		close(others)
	}
	if !ended {
		first = <-own
	}
	switch {
	case first.leads():
		cancelOthers()
	case !entered:
		return // half a look: the other paths, and our own isolation, were not looked into; the next pass begins with it
	}
	o.keep(ctx, p, t, append([]path{first}, <-others...))
}

// askOthers asks for a member through all other sites, side by side. It leaves the gate as soon as they are late.
func (o *Observer) askOthers(ctx context.Context, p *pass, t target, g gate) []path {
	late := time.AfterFunc(p.plan.patience(), g.leave)
	defer func() {
		if late.Stop() {
			g.leave()
		}
	}()
	var wg sync.WaitGroup
	paths := make([]path, len(t.others))
	for i, s := range t.others {
		p.controls[s].want()
		wg.Go(func() { paths[i] = o.ask(ctx, s, t.id.Stream) })
	}
	wg.Wait()
	return paths
}

// soon waits for a path, but not longer than patience.
func soon(ch <-chan path, patience time.Duration) (path, bool) {
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case a := <-ch:
		return a, true
	case <-t.C:
		return path{}, false
	}
}

func (o *Observer) ask(ctx context.Context, s *site, stream string) path {
	a := path{via: s, began: time.Now()}
	a.info, a.err = s.conn.Info(ctx, stream)
	a.ended = time.Now()
	o.answered(a.err)
	return a
}

// keep takes what the paths to a member gave into memory.
func (o *Observer) keep(ctx context.Context, p *pass, t target, paths []path) {
	var looks []seen
	var best *path
	for i, a := range paths {
		if l, ok := judge(p, t, a); ok {
			o.moveOn(p, t, a, l)
			l = o.doubt(ctx, p, l)
			looks = append(looks, l)
			o.o.Looked(t.stream, t.id, l.Look)
		}
		if a.err == nil && (best == nil || a.leads() && !best.leads()) {
			best = &paths[i]
		}
	}
	var answer *policy.Snapshot
	if best != nil {
		level, _ := best.via.apiLevel()
		answer = snapshot(best.info, level) // before the lock: of thousands, several are read at a time
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	g := o.memory[t.stream]
	if o.plan != p.plan || g == nil || g.members[t.id] == nil {
		return // a reload came between: it may have closed the very connection that was asked
	}
	m := g.members[t.id]
	m.keep(p.stamp, looks)
	if best != nil {
		o.learn(g, t, m, answer, *best)
	}
}

// learn takes an answer into memory; Observer.mu is held.
func (o *Observer) learn(g *guarded, t target, m *member, s *policy.Snapshot, from path) {
	if m.last != nil && !m.last.Created.Equal(s.Created) {
		o.o.Log.Info("stream created anew", "stream", t.stream, "member", t.id.String(), "created", s.Created, "before", m.last.Created)
	}
	m.learn(s, from.leads(), from.ended)
	g.learn(t.id, s.Config)
}

// doubt asks, before a member is said to be down, whether it is not we who are cut off: unless some site gives a sign of
// life after the failure, or after the answer was overdue. A sign from since the question would not do, since what cut us
// off may have come just then.
func (o *Observer) doubt(ctx context.Context, p *pass, l seen) seen {
	if l.Evidence.Verdict() != policy.Down {
		return l
	}
	overdue := l.ended.Add(min(0, p.plan.patience()-l.Took))
	if !o.aliveSince(ctx, p, overdue) {
		l.Detail = string(l.Evidence) + ", and no site gives a sign of life: " + l.Detail
		l.Evidence = policy.Isolated
	}
	return l
}

// judge turns a path into a look; false when it says nothing about the member.
func judge(p *pass, t target, a path) (seen, bool) {
	if errors.Is(a.err, context.Canceled) || errors.Is(a.err, jsapi.ErrConnecting) {
		return seen{}, false
	}
	l := seen{ended: a.ended}
	l.Via, l.Took = a.via.entry.Site, a.ended.Sub(a.began)
	if a.err == nil {
		l.Evidence = look.EvidenceOfInfo(a.info)
		return l, true
	}
	l.Evidence, l.Detail = look.EvidenceOf(a.err), a.err.Error()
	api := errNotAsked
	if l.Evidence == policy.Timeout {
		if l.Took < p.plan.patience() {
			return seen{}, false // asked at the pass's very end: no time to answer
		}
		api = p.controls[a.via].answer()
		l.Evidence, l.Detail = unanswered(api)
	}
	if a.via != t.own && !tells(l.Evidence, api) {
		return seen{}, false
	}
	return l, true
}

// levelKey is where the server that leads a stream puts its API level, in the metadata of each answer.
const levelKey = "_nats.level"

// snapshot is an answer with its API level: the lower of that of the site's API, which in a cluster is the meta
// leader's, and that of the server which leads the stream. 0 is not known.
func snapshot(info *jsapi.Info, level int) *policy.Snapshot {
	s := look.SnapshotOf(info)
	s.APILevel = level
	var config struct {
		Metadata map[string]string `json:"metadata"`
	}
	_ = json.Unmarshal(info.Config, &config) // an ill-typed field counts as missing
	if own, err := strconv.Atoi(config.Metadata[levelKey]); err == nil && (level == 0 || own < level) {
		s.APILevel = own
	}
	return &s
}
