//go:build failpoint

package failover_test

import (
	"slices"
	"strings"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/natslab"
)

// The sets of streams of TestCrashAfterwards, by what their leader dies in. Streams of a set may be in another one, whose death
// comes at another time.
const (
	setSwitchover = "switchover" // to west
	setCarry      = "carry"      // of the durable in a switchover
	setAbort      = "abort"      // of a switchover whose target falls silent when the primary is parked
	setTakeover   = "takeover"   // of the durable in a failover
	setSources    = "sources"    // of a stream at eu that sources from the origin, and is ahead of the new primary
	setReturn     = "return"     // of the origin: from the guard to the mirror
	setReplay     = "replay"     // of the archive, to the new primary
	setRepoint    = "repoint"    // of a sibling that is ahead of the new primary
)

// tailLength is how many messages of each stream never leave its origin, longTail that of the stream whose leader dies in the
// middle of copying; ahead is how many only the sibling of a repoint, or the sourcing stream, has beside it:
// more than the sequences that seeding burns, so that a wrong beginning leaves a gap.
const (
	tailLength = 10
	longTail   = 2500
	ahead      = 7
)

// writePoints are the failpoints of a write: its open, its effect and its close are there, and nothing that comes after.
func writePoints(kinds ...string) []string {
	var list []string
	for _, k := range kinds {
		list = append(list, "after-open-"+k, "after-send-"+k, "after-close-"+k)
	}
	return list
}

// sparePoints are those of the writes to a spare copy. One whose answer is late is not closed by that, but by its effect.
var sparePoints = []string{"after-open-spare", "after-send-spare", "after-open-unspare", "after-send-unspare"}

func phasePoints(prefix string, phases ...policy.Phase) []string {
	var list []string
	for _, p := range phases {
		list = append(list, prefix+string(p))
	}
	return list
}

// carryPoints are those of a durable at the promoted stream: created and held, reset, let go.
func carryPoints() []string {
	return slices.Concat([]string{"before-prepare", "after-prepare", "before-open-reset"}, writePoints("reset"), []string{"before-release", "after-release"})
}

// afterwardsPoints lists for each set where its leader dies: once each write is logged, sent and closed, and once what each
// phase came to is known and not logged. To die after that is logged is to die before the next.
func afterwardsPoints(topology natslab.Topology) map[string][]string {
	sets := map[string][]string{
		setSwitchover: slices.Concat(writePoints("park", "promote", "bind"), []string{"before-seed", "after-seed", "after-result-verify"},
			phasePoints("before-result-", policy.PhaseConfirm, policy.PhaseFence, policy.PhaseDrain, policy.PhasePromote, policy.PhaseSeed, policy.PhaseBind, policy.PhaseVerify)),
		setCarry:    {"after-freeze", "after-open-reset", "after-send-reset", "before-release"}, // the others are as in a failover
		setAbort:    append(writePoints("unpark"), "before-result-fence", "after-result-fence", "before-result-aborting"),
		setTakeover: carryPoints(),
		setSources:  append(writePoints("halt", "resume"), "before-found", "after-found", "after-trace", "before-source-done", "after-source-done"),
		setReturn: slices.Concat(writePoints("seal", "delete", "create"),
			[]string{"before-care-begin", "after-care-begin", "before-archive", "in-archive", "in-verify", "after-archive", "after-care-catch_up"},
			phasePoints("before-care-", policy.PhaseSeal, policy.PhaseArchive, policy.PhaseArchived, policy.PhaseDelete, policy.PhaseCreate, policy.PhaseCatchUp)),
		setReplay: {"before-replay", "in-replay", "after-replay", "after-care-replay"},
		setRepoint: slices.Concat(sparePoints, writePoints("delete", "create"), []string{"after-care-begin", "before-archive", "in-archive", "after-archive", "after-care-catch_up"},
			phasePoints("before-care-", policy.PhaseArchive, policy.PhaseArchived, policy.PhaseDelete, policy.PhaseCreate, policy.PhaseCatchUp)),
	}
	if topology == natslab.Domains { // in a shared meta group it is parked before it returns
		sets[setReturn] = append(sets[setReturn], writePoints("park")...)
	}
	return sets
}

// deathOf names the death that a set shares: what happens at the same time ends at once, since a leader that dies for one
// stream might take another one past its failpoint.
func deathOf(set string) string {
	switch set {
	case setCarry:
		return setSwitchover
	case setSources:
		return setTakeover
	case setReplay, setRepoint:
		return setReturn
	}
	return set
}

// hosts names the sets whose streams another set uses, too.
var hosts = map[string]string{setTakeover: setReturn, setSources: setReturn, setReplay: setAbort}

// afterwardsStreams describes the streams, by set: a failpoint each, and those of a death at another time beside it.
func afterwardsStreams(topology natslab.Topology) map[string][]guarded {
	points, sets := afterwardsPoints(topology), map[string][]guarded{}
	for _, set := range []string{setSwitchover, setCarry, setAbort, setReturn, setRepoint} {
		for _, p := range points[set] {
			sets[set] = append(sets[set], guardIn(set, p))
		}
	}
	used := map[string]int{}
	for _, set := range []string{setTakeover, setSources, setReplay} {
		for _, p := range points[set] {
			s := &sets[hosts[set]][used[hosts[set]]]
			s.shared[deathOf(set)] = append(s.shared[deathOf(set)], p)
			s.durable, s.sourced = s.durable || set == setTakeover, s.sourced || set == setSources
			if set == setReplay {
				s.Extra += "\n    salvage: replay"
			}
			used[hosts[set]]++
		}
	}
	return sets
}

// guardIn describes the stream of a set whose leader dies at a point.
func guardIn(set, point string) guarded {
	s := guard(set+"-"+point, []string{"west"})
	s.Extra = "    rejoin: auto\n    repoint: auto"
	switch set {
	case setCarry:
		s.durable = true
	case setAbort:
		s.waits = []string{"before-open-park"}
	case setRepoint:
		s = guard(s.Name, []string{"west", "eu"})
		s.Never, s.Extra = []string{"eu"}, "    repoint: auto" // the old origin waits for a person, archived
	}
	s.shared = map[string][]string{deathOf(set): {point}}
	return s
}

// replays says that the tail of a stream is published again.
func (g guarded) replays() bool { return strings.Contains(g.Extra, "salvage: replay") }

// tail is how many messages of the stream never leave its origin.
func (g guarded) tail() int {
	for _, p := range g.all() {
		if strings.HasPrefix(p, "in-") && len(g.Mirrors) == 1 {
			return longTail
		}
	}
	return tailLength
}
