package election

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"
)

// journal is the state machine of the tests: it remembers every command, in order.
type journal struct {
	slow    time.Duration
	mu      sync.Mutex
	entries []string
}

func (j *journal) Apply(_ uint64, data []byte) any {
	time.Sleep(j.slow)
	j.mu.Lock()
	defer j.mu.Unlock()
	if string(data) == "panic" {
		panic("told to")
	}
	if !slices.Contains(j.entries, string(data)) { // a command may be proposed twice
		j.entries = append(j.entries, string(data))
	}
	return len(j.entries)
}

func (j *journal) Snapshot() ([]byte, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return json.Marshal(j.entries)
}

func (j *journal) Restore(data []byte) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = nil
	return json.Unmarshal(data, &j.entries)
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.entries)
}

// member is one node of a test's group, with everything needed to start it again.
type member struct {
	t    *testing.T
	opts Options
	fsm  *journal
	node *Node
	lead Lead // nil: wait for the end of the term

	before func()        // called before each start
	handle func(*Node)   // registers handlers
	slow   time.Duration // of each Apply

	mu     sync.Mutex
	terms  []uint64 // in which it led
	active int      // calls of Lead under way

	stop context.CancelFunc
	err  chan error
}

// group is a set of members on loopback, with stores in temporary directories.
type group struct {
	t       *testing.T
	members []*member
}

// newGroup prepares n members; tune may change their options.
func newGroup(t *testing.T, n int, tune func(*Options)) *group {
	t.Helper()
	g := &group{t: t}
	var peers []Peer
	for i, addr := range freeAddrs(t, n) {
		peers = append(peers, Peer{ID: fmt.Sprintf("wd-%d", i+1), Addr: addr})
	}
	for _, p := range peers {
		o := Options{
			ID: p.ID, Peers: peers, DataDir: t.TempDir(), CommitEvery: time.Second,
			Lease: DefaultHeartbeat, // the machine of a test may be busy
			Log:   slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelInfo})).With("node", p.ID),
		}
		if n == 1 { // nobody to wait for
			o.Heartbeat, o.Election, o.Lease = 50*time.Millisecond, 50*time.Millisecond, 50*time.Millisecond
		}
		if tune != nil {
			tune(&o)
		}
		g.members = append(g.members, &member{t: t, opts: o})
	}
	t.Cleanup(g.close)
	return g
}

// freeAddrs returns different addresses that nobody listens on. They are below the ports that the system gives to
// connections, so that none is taken while a member is down.
func freeAddrs(t *testing.T, n int) []string {
	t.Helper()
	const first, count = 9000, 2500
	var addrs []string
	for try := 0; len(addrs) < n; try++ {
		if try == 4*count {
			t.Fatalf("no %d of the ports from %d on are free", n, first)
		}
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first+rand.IntN(count)))
		if err != nil {
			continue // taken, by one of these too
		}
		defer ln.Close()
		addrs = append(addrs, ln.Addr().String())
	}
	return addrs
}

// testWriter writes to a test's log.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Logf("%s", b[:len(b)-1])
	return len(b), nil
}

func (g *group) start() {
	g.t.Helper()
	for _, m := range g.members {
		m.start()
	}
}

func (g *group) close() {
	for _, m := range g.members {
		m.kill()
	}
}

func (m *member) start() {
	m.t.Helper()
	if err := m.open(); err != nil {
		m.t.Fatalf("open %s: %v", m.opts.ID, err)
	}
	m.run()
}

func (m *member) open() (err error) {
	if m.before != nil {
		m.before()
	}
	m.fsm = &journal{slow: m.slow}
	m.opts.FSM = m.fsm
	m.node, err = Open(m.opts)
	if err == nil && m.handle != nil {
		m.handle(m.node)
	}
	return err
}

func (m *member) run() {
	var ctx context.Context
	ctx, m.stop = context.WithCancel(context.Background())
	m.err = make(chan error, 1)
	node, errs := m.node, m.err
	go func() { errs <- node.Run(ctx, m.work) }()
}

// work is the Lead of a member: it records the term.
func (m *member) work(ctx context.Context, term Term) error {
	m.mu.Lock()
	m.active++
	if m.active > 1 {
		m.t.Errorf("%s leads two terms at once", m.opts.ID)
	}
	m.terms = append(m.terms, term.Number)
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.active--
	}()
	lead := m.lead
	m.mu.Unlock()
	if lead != nil {
		return lead(ctx, term)
	}
	<-ctx.Done()
	return nil
}

func (m *member) led() []uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.terms)
}

func (m *member) leading() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.active > 0
}

// kill closes a running member abruptly.
func (m *member) kill() {
	if m.node == nil {
		return
	}
	m.node.Close()
	if m.err != nil {
		if err := <-m.err; !errors.Is(err, errClosed) && err != nil {
			m.t.Logf("%s ended: %v", m.opts.ID, err)
		}
		m.stop()
	}
	m.node, m.err = nil, nil
}

// end stops a member in the orderly way and returns Run's error.
func (m *member) end() error {
	m.stop()
	err := <-m.err
	m.node, m.err = nil, nil
	return err
}

// leader waits until exactly one running member works as the leader, and returns it.
func (g *group) leader() *member {
	g.t.Helper()
	var leader *member
	eventually(g.t, "one member leads", func() bool {
		leader = nil
		for _, m := range g.members {
			if m.node != nil && m.leading() && m.node.IsLeader() {
				if leader != nil {
					return false
				}
				leader = m
			}
		}
		return leader != nil
	})
	return leader
}

// eventually polls a condition, and fails the test when it does not hold in time.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// propose commits a command at whichever member leads, and returns the leader. It repeats what may have failed, which
// the journal allows.
func (g *group) propose(cmd string) (leader *member) {
	g.t.Helper()
	var last error
	eventually(g.t, "a command is committed", func() bool {
		leader = g.leader()
		_, last = leader.node.Propose(g.t.Context(), []byte(cmd))
		return last == nil
	})
	return leader
}
