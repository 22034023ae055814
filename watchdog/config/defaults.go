package config

import (
	"time"

	"github.com/understudy-ha/understudy/policy"
)

// Defaults returns the value of every key that a file may leave out. There is no other place with a default, except
// that a stream's settings default to the config's own.
func Defaults() Config {
	return Config{
		DataDir: "/var/lib/understudy",
		Mode:    policy.ModeAlertOnly, // nothing is promoted until somebody asks for it
		HTTP:    HTTP{Listen: "127.0.0.1:7424"},
		Admin:   Admin{Listen: "unix:/run/understudy/admin.sock"},
		// The timeout is shorter than the interval, so that one look ends before the next begins.
		Probe: Probe{Every: time.Second, Timeout: 750 * time.Millisecond},
		// Longer than a rolling restart of a server, shorter than the 150 s after which a NATS server may refuse to
		// fence a crashed origin.
		Outage:   Outage{After: 2 * time.Minute, Agree: AgreeMajority},
		Loss:     Loss{MaxMessages: 10_000, Unknown: LossHold},
		Cooldown: 10 * time.Minute, // from one completed failover of a stream to its next
		Brake:    Brake{Max: 2, Per: time.Hour},
		Release:  policy.ReleaseFence, // never delete an origin to get at its subjects
		Priority: 0,
		Fence:    Fence{After: 0}, // a fence stops an origin that may only be out of sight
		// In an R3 stream a failover waits 1.6 s for as many, and a switchover some 10 ms.
		Dedup: Dedup{Mode: policy.DedupSeed, MaxIDs: 100_000, SwitchoverIDs: 500},
		// A consumer may be set back by what it acked since the last snapshot.
		Consumers: Consumers{Every: 5 * time.Second},
		// Nothing is published again, deleted or copied until somebody asks for it.
		Salvage: policy.SalvageArchive,
		Rejoin:  policy.RejoinManual,
		Repoint: policy.RepointReport,
		// A new leader in about a second, without a false election on a busy machine.
		Raft: Raft{
			Heartbeat: 500 * time.Millisecond,
			Election:  500 * time.Millisecond,
			Lease:     250 * time.Millisecond,
		},
		Log: Log{Format: LogText, Level: "info"},
	}
}

// stream returns a guarded stream with the config's own settings, before its overrides.
func (c *Config) stream() Stream {
	return Stream{
		Mode:      c.Mode,
		Probe:     StreamProbe{Every: c.Probe.Every},
		Outage:    c.Outage,
		Loss:      c.Loss,
		Cooldown:  c.Cooldown,
		Release:   c.Release,
		Priority:  c.Priority,
		Fence:     c.Fence,
		Dedup:     c.Dedup,
		Consumers: c.Consumers,
		Salvage:   c.Salvage,
		Rejoin:    c.Rejoin,
		Repoint:   c.Repoint,
	}
}
