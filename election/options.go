package election

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"
)

// Defaults of [Options]. The three timeouts elect a new leader in about a second without false elections on a busy
// machine.
const (
	DefaultHeartbeat         = 500 * time.Millisecond
	DefaultElection          = 500 * time.Millisecond
	DefaultLease             = 250 * time.Millisecond
	DefaultApplyTimeout      = 5 * time.Second
	DefaultCommitEvery       = 10 * time.Second
	DefaultStallAfter        = 10 // election timeouts
	DefaultSnapshotThreshold = 4096
	DefaultSnapshotInterval  = 2 * time.Minute
	DefaultTrailingLogs      = 1024
)

// maxIDLen bounds a peer's id, because the hello of the peers' port carries ids behind a one-byte length.
const maxIDLen = 255

// Peer is one watchdog of the group.
type Peer struct {
	ID   string // unique in the group, the same on every peer
	Addr string // host:port under which this node reaches it; other nodes may use another
}

// Options configure a [Node]. ID, Peers, DataDir, FSM and Log are required; zero values elsewhere mean the default.
type Options struct {
	ID    string // which of Peers this node is
	Peers []Peer // the whole group, this node included; the same ids on every node

	// Bind is the address to listen on; this node's own peer address by default.
	Bind string
	// Listener, when set, is used instead of listening on Bind; the node closes it.
	Listener net.Listener
	// DataDir holds the log, the votes and the snapshots. It must survive restarts.
	DataDir string
	// TLS are the files for mutual TLS between the peers. It may be nil only if every address is on loopback.
	TLS *TLSFiles

	Heartbeat time.Duration // a follower stands for election after this long without its leader
	Election  time.Duration // an election is repeated after this long without a winner
	Lease     time.Duration // a leader without contact to a majority for this long steps down

	// ApplyTimeout bounds a proposal whose context has no earlier deadline.
	ApplyTimeout time.Duration
	// CommitEvery is how often an idle leader commits an empty entry, so that a full disk is noticed before a
	// decision needs the log.
	CommitEvery time.Duration
	// StallAfter is the number of election timeouts after which a leader that cannot commit steps down.
	StallAfter int

	SnapshotThreshold uint64        // log entries between two snapshots
	SnapshotInterval  time.Duration // how often the threshold is looked at
	TrailingLogs      uint64        // entries kept behind a snapshot, for peers that lag a little

	FSM StateMachine
	Log *slog.Logger
}

// withDefaults returns a copy of o in which every zero field that has a default holds it.
func (o Options) withDefaults() Options {
	o.Heartbeat = cmp.Or(o.Heartbeat, DefaultHeartbeat)
	o.Election = cmp.Or(o.Election, max(DefaultElection, o.Heartbeat))
	o.Lease = cmp.Or(o.Lease, min(DefaultLease, o.Heartbeat))
	o.ApplyTimeout = cmp.Or(o.ApplyTimeout, DefaultApplyTimeout)
	o.CommitEvery = cmp.Or(o.CommitEvery, DefaultCommitEvery)
	o.StallAfter = cmp.Or(o.StallAfter, DefaultStallAfter)
	o.SnapshotThreshold = cmp.Or(o.SnapshotThreshold, DefaultSnapshotThreshold)
	o.SnapshotInterval = cmp.Or(o.SnapshotInterval, DefaultSnapshotInterval)
	o.TrailingLogs = cmp.Or(o.TrailingLogs, DefaultTrailingLogs)
	if self, ok := o.peer(o.ID); ok {
		o.Bind = cmp.Or(o.Bind, self.Addr)
	}
	o.Peers = slices.Clone(o.Peers)
	slices.SortFunc(o.Peers, func(a, b Peer) int { return cmp.Compare(a.ID, b.ID) })
	return o
}

// validate reports the first option that cannot work, and what would.
func (o Options) validate() error {
	switch {
	case o.FSM == nil:
		return errors.New("options: FSM is missing")
	case o.Log == nil:
		return errors.New("options: Log is missing")
	case o.DataDir == "":
		return errors.New("options: DataDir is missing")
	case len(o.Peers) == 0:
		return errors.New("options: Peers is empty; list every watchdog, this one included")
	}
	if _, ok := o.peer(o.ID); !ok {
		return fmt.Errorf("options: node %q is not among the peers %q", o.ID, o.peerIDs())
	}
	for i, p := range o.Peers {
		if err := p.validate(); err != nil {
			return err
		}
		for _, q := range o.Peers[:i] {
			if p.ID == q.ID || p.Addr == q.Addr {
				return fmt.Errorf("options: peers %q and %q share an id or the address %s", q.ID, p.ID, p.Addr)
			}
		}
	}
	return o.validateTimeouts()
}

func (o Options) validateTimeouts() error {
	switch {
	case o.Heartbeat < 20*time.Millisecond:
		return fmt.Errorf("options: Heartbeat %v is too short; 20ms at least", o.Heartbeat)
	case o.Election < o.Heartbeat:
		return fmt.Errorf("options: Election %v is shorter than Heartbeat %v", o.Election, o.Heartbeat)
	case o.Lease > o.Heartbeat || o.Lease < 10*time.Millisecond:
		return fmt.Errorf("options: Lease %v is not between 10ms and Heartbeat %v", o.Lease, o.Heartbeat)
	case o.SnapshotInterval < 5*time.Millisecond:
		return fmt.Errorf("options: SnapshotInterval %v is too short; 5ms at least", o.SnapshotInterval)
	}
	return nil
}

func (p Peer) validate() error {
	if p.ID == "" || len(p.ID) > maxIDLen {
		return fmt.Errorf("options: peer id %q is empty or longer than %d bytes", p.ID, maxIDLen)
	}
	if _, _, err := net.SplitHostPort(p.Addr); err != nil {
		return fmt.Errorf("options: peer %q has address %q, which is not host:port: %w", p.ID, p.Addr, err)
	}
	return nil
}

func (o Options) peer(id string) (Peer, bool) {
	i := slices.IndexFunc(o.Peers, func(p Peer) bool { return p.ID == id })
	if i < 0 {
		return Peer{}, false
	}
	return o.Peers[i], true
}

func (o Options) peerIDs() []string {
	ids := make([]string, 0, len(o.Peers))
	for _, p := range o.Peers {
		ids = append(ids, p.ID)
	}
	slices.Sort(ids)
	return ids
}

// single reports whether this node is the whole group.
func (o Options) single() bool { return len(o.Peers) == 1 }
