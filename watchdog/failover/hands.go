package failover

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/jsapi"
	"github.com/understudy-ha/understudy/watchdog/salvage"
)

// Journal is the replicated log as the hands see it.
type Journal interface {
	// State is the newest state that this node has applied.
	State() policy.State
	// Propose commits a command; a refusal wraps policy.ErrRefused.
	Propose(ctx context.Context, c policy.Command) error
	// VerifyLeader asks a majority whether this node still leads the term.
	VerifyLeader(ctx context.Context) error
}

// Options of Hands.
type Options struct {
	Node   string
	Logins func() map[string]jsapi.Login // by site, as the config in force has them
	// Timeout limits one request to a member that is expected to answer.
	Timeout time.Duration
	Journal Journal
	// Consumers returns the newest snapshot of a member's consumers that any watchdog holds, without waiting long.
	Consumers func(ctx context.Context, stream string, id policy.MemberID) (policy.ConsumerSnapshot, bool)
	// Decide is the policy's word on a stream; a step goes on only while it says so.
	Decide func(stream string) policy.Action
	Log    *slog.Logger
}

// Hands are the writing side of one leadership term. Close ends it.
type Hands struct {
	o        Options
	patience *patience

	mu       sync.Mutex
	readers  map[string]dialed // by site
	writers  map[string]dialed
	deletes  map[policy.WriteID]time.Time         // open ones, and when they were first seen
	progress map[policy.MemberID]salvage.Progress // of archives
	listings map[string]*listing                  // by site
	seen     map[string]time.Time                 // by stream and epoch: when its newest primary was first known
	sourced  map[string]*sync.Mutex               // by sourcing stream
	guards   chan struct{}                        // one for each member that is asked for
	closed   bool
	done     chan struct{} // closed by Close
	retiring sync.WaitGroup
}

// dialed is a connection and the login that it was made with.
type dialed struct {
	login jsapi.Login
	*jsapi.Conn
}

// New returns hands that have not connected yet.
func New(o Options) *Hands {
	return &Hands{o: o, patience: newPatience(), deletes: map[policy.WriteID]time.Time{}, progress: map[policy.MemberID]salvage.Progress{}, listings: map[string]*listing{}, seen: map[string]time.Time{}, sourced: map[string]*sync.Mutex{}, readers: map[string]dialed{}, writers: map[string]dialed{}, guards: make(chan struct{}, guarding), done: make(chan struct{})}
}

// Close ends all connections of the term; no write leaves after it.
func (h *Hands) Close() {
	h.mu.Lock()
	h.closed = true
	all := make([]dialed, 0, len(h.readers)+len(h.writers))
	for _, conns := range []map[string]dialed{h.readers, h.writers} {
		for _, c := range conns {
			all = append(all, c)
		}
	}
	h.mu.Unlock()
	close(h.done)
	for _, c := range all {
		c.Close()
	}
	h.retiring.Wait()
}

// current returns the connection to a site if it was made with the login that the config in force has, else only that
// login: a reload reaches whoever acts at the next use. The caller holds mu.
func (h *Hands) current(conns map[string]dialed, site string) (*jsapi.Conn, jsapi.Login, error) {
	if h.closed {
		return nil, jsapi.Login{}, context.Canceled
	}
	login, configured := h.o.Logins()[site]
	c, made := conns[site]
	if made && !(configured && reflect.DeepEqual(c.login, login)) {
		delete(conns, site)
		h.retire(c.Conn)
		made = false
	}
	switch {
	case !configured:
		return nil, login, fmt.Errorf("site %q is not in the config", site)
	case made:
		return c.Conn, login, nil
	}
	return nil, login, nil
}

// retire closes a connection once what was begun on it has had its time: to cut a write short would make its outcome
// unknown. The end of the term does not wait for that.
func (h *Hands) retire(c *jsapi.Conn) {
	const begun = 10 * time.Second // beside the write itself: the word of a majority before it
	h.retiring.Go(func() {
		t := time.NewTimer(h.o.Timeout + begun)
		defer t.Stop()
		select {
		case <-t.C:
		case <-h.done:
		}
		c.Close()
	})
}

// reader returns the connection that looks at a site. A new one gets a moment to connect.
func (h *Hands) reader(ctx context.Context, site string) (*jsapi.Conn, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c, login, err := h.current(h.readers, site)
	if c != nil || err != nil {
		return c, err
	}
	connected := make(chan struct{}, 1)
	c = jsapi.Dial(jsapi.Options{Login: login, Changed: func(error) {
		select {
		case connected <- struct{}{}:
		default:
		}
	}})
	h.readers[site] = dialed{login, c}
	select {
	case <-connected:
	case <-ctx.Done():
	case <-time.After(originTimeout):
	}
	return c, nil
}

// writer returns the connection that writes at a site: one that never reconnects, so that nothing is sent later than
// it was meant.
func (h *Hands) writer(ctx context.Context, site string) (*jsapi.Conn, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c, login, err := h.current(h.writers, site)
	if err != nil {
		return nil, err
	}
	if c != nil {
		select {
		case <-c.Done():
			delete(h.writers, site)
		default:
			return c, nil
		}
	}
	ctx, cancel := context.WithTimeout(ctx, h.o.Timeout)
	defer cancel()
	c, err = jsapi.DialOnce(ctx, jsapi.Options{Login: login, ConnectTimeout: h.o.Timeout})
	if err != nil {
		return nil, fmt.Errorf("connect to write at %s: %w", site, err)
	}
	h.writers[site] = dialed{login, c}
	return c, nil
}

// Reaches reports whether a member answers these hands now.
func (h *Hands) Reaches(ctx context.Context, id policy.MemberID) bool {
	v := h.look(ctx, id.Site, id.Stream, h.o.Timeout)
	return v.Evidence == policy.Answered || v.Evidence == policy.AnsweredParked
}
