package consumers

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

// Options of a Keeper; they last as long as it does.
type Options struct {
	// Dir is where the snapshots are kept, in one file a stream. It is made when it does not exist.
	Dir string
	// Primary names the stream that holds a guarded stream's subjects now.
	Primary func(stream string) policy.MemberID
	Log     *slog.Logger
}

// Config is what a reload may change.
type Config struct {
	Streams map[string]policy.StreamRules
	Logins  map[string]jsapi.Login // by site
}

// Keeper takes snapshots of the consumers of each guarded stream's primary while it can be read, and keeps the newest one of
// each member: in memory, and on disk for the watchdog that starts again.
type Keeper struct {
	o       Options
	changed chan struct{} // pokes Run after Configure

	mu    sync.Mutex
	want  Config
	sites map[string]*site
	kept  map[string]*held // by guarded stream
}

// held is what is kept of one guarded stream.
type held struct {
	members map[policy.MemberID]policy.ConsumerSnapshot // their At bears this process's monotonic clock, if taken by it
	dirty   bool                                        // not on disk as it is
	written time.Time                                   // when it was written last
	failing bool                                        // the newest attempt failed, and it was said
}

// site is the connection to one site, and the gate that limits the questions under way there: a site that hangs fills its
// own gate only.
type site struct {
	login jsapi.Login
	conn  *jsapi.Conn
	gate  chan struct{}
}

const (
	// defaultEvery is the time between two snapshots when the rules name none.
	defaultEvery = 5 * time.Second
	// atOnce is how many streams of one site are asked about at once.
	atOnce = 8
	// takeTimeout ends a snapshot. In a cluster a list takes 4 s when a consumer's servers are gone.
	takeTimeout = 6 * time.Second
)

// NewKeeper reads what is on disk. A file that cannot be read is left out, and said: the other watchdogs have their own, and
// the next snapshot replaces it.
func NewKeeper(o Options) (*Keeper, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	k := &Keeper{o: o, changed: make(chan struct{}, 1), sites: map[string]*site{}, kept: map[string]*held{}}
	if err := k.load(); err != nil {
		return nil, fmt.Errorf("keep consumers in %s: %w", o.Dir, err)
	}
	return k, nil
}

// Configure takes over at once if Run is running, else when it begins. What is kept of streams and members that are no
// more configured is dropped.
func (k *Keeper) Configure(c Config) {
	k.mu.Lock()
	k.want = c
	k.mu.Unlock()
	select {
	case k.changed <- struct{}{}:
	default: // Run has yet to see the poke before this one
	}
}

// Latest is the newest snapshot of a member of a guarded stream, with its age as of now.
func (k *Keeper) Latest(stream string, id policy.MemberID) (policy.ConsumerSnapshot, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	h := k.kept[stream]
	if h == nil {
		return policy.ConsumerSnapshot{}, false
	}
	s, ok := h.members[id]
	s.Age = max(time.Since(s.At), 0)
	return s, ok
}

// Run takes snapshots until ctx ends, and returns when all it has started has ended and what it holds is on disk.
func (k *Keeper) Run(ctx context.Context) error {
	defer k.disconnect()
	var writer sync.WaitGroup
	defer writer.Wait()
	writer.Go(func() { k.write(ctx) })
	for ctx.Err() == nil {
		k.follow(ctx)
	}
	return nil
}

// follow watches the configured streams until the config changes or ctx ends.
func (k *Keeper) follow(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	var streams sync.WaitGroup
	defer streams.Wait()
	defer cancel()
	for _, sr := range k.apply() {
		streams.Go(func() { k.watch(ctx, sr) })
	}
	select {
	case <-k.changed:
	case <-ctx.Done():
	}
}

// watch takes snapshots of one stream, at moments that other watchdogs do not share.
func (k *Keeper) watch(ctx context.Context, sr policy.StreamRules) {
	every := sr.ConsumersEvery
	if every <= 0 {
		every = defaultEvery
	}
	wait := rand.N(every) // of the first; then a fifth of the time at random
	for sleep(ctx, wait) {
		k.look(ctx, sr.Name)
		wait = every - every/10 + rand.N(every/5+1)
	}
}

// look takes one snapshot, when its site has room for the question.
func (k *Keeper) look(ctx context.Context, stream string) {
	id := k.o.Primary(stream)
	s := k.site(id.Site)
	if s == nil || !s.conn.Connected() {
		return // the site's own state is told by the probe
	}
	select {
	case s.gate <- struct{}{}:
		defer func() { <-s.gate }()
	case <-ctx.Done():
		return
	}
	limited, cancel := context.WithTimeout(ctx, takeTimeout)
	defer cancel()
	snap, err := Take(limited, s.conn, id)
	if ctx.Err() == nil || err == nil {
		k.keep(stream, snap, err)
	}
}

// keep takes over a snapshot. One that is older than what is held, as of a question that hung, is dropped.
func (k *Keeper) keep(stream string, snap policy.ConsumerSnapshot, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	h := k.kept[stream]
	if h == nil {
		h = &held{members: map[policy.MemberID]policy.ConsumerSnapshot{}}
		k.kept[stream] = h
	}
	if err != nil {
		if !h.failing {
			k.o.Log.Warn("no snapshot of the consumers", "stream", stream, "error", err)
		}
		h.failing = true
		return
	}
	h.failing = false
	old, ok := h.members[snap.Stream]
	if ok && old.Created.Equal(snap.Created) {
		if old.At.After(snap.At) {
			return
		}
		snap = merge(old, snap)
	}
	h.dirty = h.dirty || !ok || !same(old, snap)
	h.members[snap.Stream] = snap
}

// merge adds to a snapshot what only an older one of the same incarnation knows: the consumers that did not answer, where
// consumers began, and the pauses that ours hide.
func merge(old, snap policy.ConsumerSnapshot) policy.ConsumerSnapshot {
	snap.Consumers = remember(snap.Consumers, old.Consumers)
	missing := map[string]bool{}
	for _, name := range snap.Missing {
		missing[name] = true
	}
	for _, c := range old.Consumers {
		if missing[c.Name] {
			snap.Consumers = append(snap.Consumers, c)
		}
	}
	return snap
}

// same tells snapshots that differ in nothing but their time.
func same(a, b policy.ConsumerSnapshot) bool {
	a.At, a.Age, b.At, b.Age = time.Time{}, 0, time.Time{}, 0
	return a.Created.Equal(b.Created) && reflect.DeepEqual(a.Consumers, b.Consumers) && reflect.DeepEqual(a.Missing, b.Missing)
}
