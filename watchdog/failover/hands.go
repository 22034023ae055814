package failover

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/jsapi"
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
	// Decide is the policy's word on a stream; a step goes on only while it says so.
	Decide func(stream string) policy.Action
	Log    *slog.Logger
}

// Hands are the writing side of one leadership term. Close ends it.
type Hands struct {
	o        Options
	patience *patience

	mu      sync.Mutex
	readers map[string]*jsapi.Conn
	writers map[string]*jsapi.Conn
	closed  bool
}

// New returns hands that have not connected yet.
func New(o Options) *Hands {
	return &Hands{o: o, patience: newPatience(), readers: map[string]*jsapi.Conn{}, writers: map[string]*jsapi.Conn{}}
}

// Close ends all connections of the term; no write leaves after it.
func (h *Hands) Close() {
	h.mu.Lock()
	h.closed = true
	all := make([]*jsapi.Conn, 0, len(h.readers)+len(h.writers))
	for _, conns := range []map[string]*jsapi.Conn{h.readers, h.writers} {
		for _, c := range conns {
			all = append(all, c)
		}
	}
	h.mu.Unlock()
	for _, c := range all {
		c.Close()
	}
}

// reader returns the connection that looks at a site. A new one gets a moment to connect.
func (h *Hands) reader(ctx context.Context, site string) (*jsapi.Conn, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, context.Canceled
	}
	if c, ok := h.readers[site]; ok {
		return c, nil
	}
	login, ok := h.o.Logins()[site]
	if !ok {
		return nil, fmt.Errorf("site %q is not in the config", site)
	}
	connected := make(chan struct{}, 1)
	c := jsapi.Dial(jsapi.Options{Login: login, Changed: func(error) {
		select {
		case connected <- struct{}{}:
		default:
		}
	}})
	h.readers[site] = c
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
	if h.closed {
		return nil, context.Canceled
	}
	if c, ok := h.writers[site]; ok {
		select {
		case <-c.Done():
			delete(h.writers, site)
		default:
			return c, nil
		}
	}
	login, ok := h.o.Logins()[site]
	if !ok {
		return nil, fmt.Errorf("site %q is not in the config", site)
	}
	ctx, cancel := context.WithTimeout(ctx, h.o.Timeout)
	defer cancel()
	c, err := jsapi.DialOnce(ctx, jsapi.Options{Login: login, ConnectTimeout: h.o.Timeout})
	if err != nil {
		return nil, fmt.Errorf("connect to write at %s: %w", site, err)
	}
	h.writers[site] = c
	return c, nil
}

// Reaches reports whether a member answers these hands now.
func (h *Hands) Reaches(ctx context.Context, id policy.MemberID) bool {
	v := h.look(ctx, id.Site, id.Stream, h.o.Timeout)
	return v.Evidence == policy.Answered || v.Evidence == policy.AnsweredParked
}
