package config

import (
	"net"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/policy"
)

// Config is one watchdog's effective config: what the file says, and the defaults of Defaults for the rest.
type Config struct {
	// Node is the peer that this watchdog is.
	Node string `yaml:"node"`
	// DataDir holds the raft log and the snapshots.
	DataDir string `yaml:"data_dir"`
	// Mode is the mode of streams that do not name their own.
	Mode policy.Mode `yaml:"mode"`
	// Peers are all watchdogs, by name.
	Peers map[string]Peer `yaml:"peers"`
	// Bind is where this watchdog listens for its peers; "" means at its own peer address.
	Bind string `yaml:"bind,omitempty"`
	// TLS secures the connections between the watchdogs, in both directions.
	TLS   *TLS  `yaml:"tls,omitempty"`
	HTTP  HTTP  `yaml:"http"`
	Admin Admin `yaml:"admin"`

	Probe    Probe          `yaml:"probe"`
	Outage   Outage         `yaml:"outage"`
	Loss     Loss           `yaml:"loss"`
	Cooldown time.Duration  `yaml:"cooldown"`
	Brake    Brake          `yaml:"brake"`
	Release  policy.Release `yaml:"release"`
	// Priority is the place in a storm of streams that do not name their own; the higher goes first.
	Priority  int            `yaml:"priority"`
	Fence     Fence          `yaml:"fence"`
	Dedup     Dedup          `yaml:"dedup"`
	Consumers Consumers      `yaml:"consumers"`
	Salvage   policy.Salvage `yaml:"salvage"`
	Rejoin    policy.Rejoin  `yaml:"rejoin"`
	Repoint   policy.Repoint `yaml:"repoint"`
	Raft      Raft           `yaml:"raft"`
	Log       Log            `yaml:"log"`

	Sites   map[string]Site `yaml:"sites"`
	Streams []Stream        `yaml:"streams"`

	src *source // where the values stand in the file; nil for a Config made in code
}

// Peer is one watchdog.
type Peer struct {
	// Addr is the host:port at which the other watchdogs reach it.
	Addr string `yaml:"addr"`
	// Site is the place where it runs.
	Site string `yaml:"site"`
}

// TLS names the PEM files of a certificate, its key and the authority that the other side is checked against.
type TLS struct {
	Cert string `yaml:"cert,omitempty"`
	Key  string `yaml:"key,omitempty"`
	CA   string `yaml:"ca,omitempty"`
}

// HTTP is the listener for health, metrics and the read-only API.
type HTTP struct {
	Listen string `yaml:"listen"`
}

// Admin is the listener for commands that change something.
type Admin struct {
	// Listen is "unix:" and the absolute path of the socket.
	Listen string `yaml:"listen"`
}

// Probe says how often a stream is looked at, and how long one look may take.
type Probe struct {
	Every   time.Duration `yaml:"every"`
	Timeout time.Duration `yaml:"timeout"`
}

// Outage says when an outage is permanent.
type Outage struct {
	After time.Duration `yaml:"after"`
	// Agree is AgreeMajority, the only agreement there is.
	Agree string `yaml:"agree"`
}

// AgreeMajority asks for a majority of the configured watchdogs.
const AgreeMajority = "majority"

// Loss limits what a failover may cost.
type Loss struct {
	// MaxMessages may be missing on the target.
	MaxMessages uint64 `yaml:"max_messages"`
	// Unknown is LossHold or LossAllow: what to do when the loss cannot be estimated.
	Unknown string `yaml:"unknown"`
}

// What to do about a loss that cannot be estimated.
const (
	LossHold  = "hold"
	LossAllow = "allow"
)

// Brake limits the site outages that are acted on within a time. Max 0 means no limit.
type Brake struct {
	Max int           `yaml:"max"`
	Per time.Duration `yaml:"per"`
}

// Fence says when an origin that is down is fenced ahead of the threshold.
type Fence struct {
	// After is the witnessed outage after which it is parked, to be unparked if it returns in time; 0 means never.
	After DurationOrOff `yaml:"after"`
}

// Dedup limits the message ids that a promoted stream is made to know, so that a publisher's retry is not stored twice.
type Dedup struct {
	Mode policy.DedupMode `yaml:"mode"`
	// MaxIDs holds for a failover, SwitchoverIDs for a switchover: the newest ids are taken.
	MaxIDs        int `yaml:"max_ids"`
	SwitchoverIDs int `yaml:"switchover_ids"`
}

// Consumers says how often the durable consumers of a guarded stream are looked at.
type Consumers struct {
	Every time.Duration `yaml:"every"`
}

// Raft holds the timing of the watchdogs' election.
type Raft struct {
	Heartbeat time.Duration `yaml:"heartbeat"`
	Election  time.Duration `yaml:"election"`
	Lease     time.Duration `yaml:"lease"`
}

// Log says how and how much is logged.
type Log struct {
	Format string `yaml:"format"` // LogText or LogJSON
	Level  string `yaml:"level"`  // debug, info, warn or error
}

// The formats of the log.
const (
	LogText = "text"
	LogJSON = "json"
)

// Site is a place with its own NATS entry point, and how to log in there.
type Site struct {
	Servers []string `yaml:"servers"`
	// Creds and NKey name files with a login; User goes with PasswordFile. At most one of the three is set.
	Creds        string `yaml:"creds,omitempty"`
	NKey         string `yaml:"nkey,omitempty"`
	User         string `yaml:"user,omitempty"`
	PasswordFile string `yaml:"password_file,omitempty"`
	// TLS holds a client certificate, the authority of the servers, or both.
	TLS *TLS `yaml:"tls,omitempty"`
	// Domain is the JetStream domain behind the servers; "" is the account's default one.
	Domain string `yaml:"domain,omitempty"`
}

// Member is one stream at one site.
type Member struct {
	Site   string `yaml:"site"`
	Stream string `yaml:"stream"`
}

// PromoteNever is the value of a mirror's promote that keeps it from being a target.
const PromoteNever = "never"

// Mirror is one mirror of a guarded stream.
type Mirror struct {
	Site   string `yaml:"site"`
	Stream string `yaml:"stream"`
	// Priority decides between equal candidates; the higher wins.
	Priority int `yaml:"priority,omitempty"`
	// Promote is "" or PromoteNever.
	Promote string `yaml:"promote,omitempty"`
}

// StreamProbe is the part of Probe that a stream may override.
type StreamProbe struct {
	Every time.Duration `yaml:"every"`
}

// Stream is one guarded stream. Its overridable settings are filled in from the config's own.
type Stream struct {
	// Name is what operators call it; every name in a config is used once.
	Name string `yaml:"name"`
	// Account is the NATS account that the stream lives in; "" when nobody needs to know.
	Account   string         `yaml:"account,omitempty"`
	Origin    Member         `yaml:"origin"`
	Mirrors   []Mirror       `yaml:"mirrors"`
	Mode      policy.Mode    `yaml:"mode"`
	Probe     StreamProbe    `yaml:"probe"`
	Outage    Outage         `yaml:"outage"`
	Loss      Loss           `yaml:"loss"`
	Cooldown  time.Duration  `yaml:"cooldown"`
	Release   policy.Release `yaml:"release"`
	Priority  int            `yaml:"priority"`
	Fence     Fence          `yaml:"fence"`
	Dedup     Dedup          `yaml:"dedup"`
	Consumers Consumers      `yaml:"consumers"`
	Salvage   policy.Salvage `yaml:"salvage"`
	Rejoin    policy.Rejoin  `yaml:"rejoin"`
	Repoint   policy.Repoint `yaml:"repoint"`
}

// Self returns the peer that this watchdog is.
func (c *Config) Self() Peer { return c.Peers[c.Node] }

// PeerListen is the address on which this watchdog listens for its peers.
func (c *Config) PeerListen() string {
	if c.Bind != "" {
		return c.Bind
	}
	return c.Self().Addr
}

// AdminSocket is the path of the admin socket.
func (c *Config) AdminSocket() string { return strings.TrimPrefix(c.Admin.Listen, unixPrefix) }

// isLoopback tells whether a host:port can be reached from this machine only. A name other than localhost is taken
// for the network: what it resolves to may change.
func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	return isLoopbackHost(host)
}

func isLoopbackHost(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
