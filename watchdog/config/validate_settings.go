package config

import (
	"fmt"
	"time"

	"github.com/understudy-ha/understudy/policy"
)

// Limits of the settings that a stream may override. Each has its reason; none is a default.
const (
	minOutage    = 5 * time.Second // below it a restarting server or an election of its own would be an outage
	minFence     = time.Second     // below it one lost answer would park an origin
	minConsumers = time.Second     // below it the snapshots are a load: a page for each 256 consumers
	maxIDs       = 1_000_000       // more are not seeded in the 10 s that a promotion waits, and each takes a sequence
)

// The words of the settings.
var (
	modes      = []string{string(policy.ModeAlertOnly), string(policy.ModeManual), string(policy.ModeUnattended)}
	releases   = []string{string(policy.ReleaseFence), string(policy.ReleaseDelete)}
	dedupModes = []string{string(policy.DedupSeed), string(policy.DedupNone)}
	salvages   = []string{string(policy.SalvageArchive), string(policy.SalvageReplay)}
	rejoins    = []string{string(policy.RejoinManual), string(policy.RejoinAuto)}
	repoints   = []string{string(policy.RepointReport), string(policy.RepointAuto)}
)

// settings checks those overridable settings of a stream that the file gives there, or with at "" the config's own.
func (v *validator) settings(at string, s Stream) {
	v.words(at, s)
	if full, ok := v.given(at, "outage.after"); ok && s.Outage.After < minOutage {
		v.add(full, short(s.Outage.After)+" is too short",
			"use "+short(minOutage)+" or more: below that a restart of a server is an outage")
	}
	if full, ok := v.given(at, "cooldown"); ok && s.Cooldown < 0 {
		v.add(full, short(s.Cooldown)+" is negative", "set, for example, 10m")
	}
	if full, ok := v.given(at, "consumers.every"); ok && s.Consumers.Every < minConsumers {
		v.add(full, short(s.Consumers.Every)+" is too often", "use "+short(minConsumers)+" or more")
	}
	v.fence(at, s)
	v.dedup(at, s.Dedup)
}

// given returns the full name of a field, and whether it is to be checked there.
func (v *validator) given(at, field string) (full string, ok bool) {
	full = join(at, field)
	return full, at == "" || v.src.has(full)
}

// words checks the settings that have a list of values.
func (v *validator) words(at string, s Stream) {
	for _, w := range []struct {
		field, value string
		allowed      []string
	}{
		{"mode", string(s.Mode), modes},
		{"release", string(s.Release), releases},
		{"outage.agree", s.Outage.Agree, []string{AgreeMajority}},
		{"loss.unknown", s.Loss.Unknown, []string{LossHold, LossAllow}},
		{"dedup.mode", string(s.Dedup.Mode), dedupModes},
		{"salvage", string(s.Salvage), salvages},
		{"rejoin", string(s.Rejoin), rejoins},
		{"repoint", string(s.Repoint), repoints},
	} {
		if full, ok := v.given(at, w.field); ok {
			v.choice(full, w.value, w.allowed)
		}
	}
}

// fence checks fence.after, and against outage.after if the file gives one of the two.
func (v *validator) fence(at string, s Stream) {
	full, own := v.given(at, "fence.after")
	_, ownOutage := v.given(at, "outage.after")
	after := time.Duration(s.Fence.After)
	switch {
	case after == 0:
	case own && after < minFence:
		v.add(full, short(after)+" is too short", "use "+short(minFence)+" or more, or off")
	case (own || ownOutage) && s.Outage.After >= minOutage && after >= s.Outage.After:
		v.add(full, short(after)+" is not below outage.after, "+short(s.Outage.After),
			"a failover fences by itself then: lower it, or set off")
	}
}

func (v *validator) dedup(at string, d Dedup) {
	if full, ok := v.given(at, "dedup.max_ids"); ok && (d.MaxIDs < 1 || d.MaxIDs > maxIDs) {
		v.add(full, fmt.Sprintf("%d is not within 1 and %d", d.MaxIDs, maxIDs), "use the default, 100000, or set dedup.mode: none")
	}
	if full, ok := v.given(at, "dedup.switchover_ids"); ok && (d.SwitchoverIDs < 0 || d.SwitchoverIDs > maxIDs) {
		v.add(full, fmt.Sprintf("%d is not within 0 and %d", d.SwitchoverIDs, maxIDs),
			"use the default, 500: a switchover's gap grows with it")
	}
}
