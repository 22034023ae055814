package simulator

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/understudy-ha/understudy/policy"
)

// Options of one run.
type Options struct {
	Seed   uint64
	Steps  int // events of bad weather
	Shared bool
	// Release is the config's release.
	Release policy.Release
	// Rejoin and Repoint are the config's.
	Rejoin  policy.Rejoin
	Repoint policy.Repoint
	Salvage policy.Salvage
	// FenceAfter is the config's; the threshold is 5 s.
	FenceAfter time.Duration
	// Hands lets a person change streams past Understudy, lose its stores, and adopt.
	Hands bool
	Break Mutation
}

// Mutation breaks one rule on purpose, to show that the checks would see it.
type Mutation string

// The mutations.
const (
	NoRepair          Mutation = "no-repair"            // nothing is ever put back
	AbortAfterPromote Mutation = "abort-after-promote"  // a sent promote does not bind the epoch to its target
	WriteUnlogged     Mutation = "write-before-the-log" // writes are sent although their open was refused
	EmptyArchive      Mutation = "empty-archive"        // tails are said to be archived, and are not
)

// Sim is one run.
type Sim struct {
	o     Options
	rnd   *rand.Rand
	world *world
	rules policy.Rules
	hash  string
	state policy.State

	term    uint64
	round   uint64
	leader  string // "" while there is none
	sinceUp time.Duration
	wasUp   bool // in this term
	// released is the epoch whose consumers deliver; resets counts those sent, by epoch.
	released uint64
	resets   map[uint64]int
	fresh    bool // no round in this term yet

	workers  []*worker
	flying   []policy.Write // copies that may still arrive
	memory   map[string]map[string]*policy.Snapshot
	reported map[string]dated // by watchdog

	calm  bool
	trace []string
	seen  record
	err   error
}

const name = "EVENTS"

// New prepares a run: everything is up and healthy.
func New(o Options) *Sim {
	s := &Sim{o: o, rnd: rand.New(rand.NewPCG(o.Seed, 42)), world: newWorld(o.Shared), state: policy.NewState(),
		memory: map[string]map[string]*policy.Snapshot{}, reported: map[string]dated{}, seen: newRecord(), resets: map[uint64]int{}}
	if s.o.Release == "" {
		s.o.Release = policy.ReleaseFence
	}
	s.rules = policy.Rules{Watchdogs: map[string]string{}, Sites: map[string]policy.SiteRules{}, Streams: map[string]policy.StreamRules{
		name: {Name: name, Origin: origin, Mirrors: []policy.MirrorRule{{MemberID: west, Priority: 10}, {MemberID: eu}},
			Mode: policy.ModeUnattended, Interval: time.Second, Threshold: 5 * time.Second, MaxLoss: 1 << 40,
			Cooldown: 20 * time.Second, Release: s.o.Release, FenceAfter: o.FenceAfter,
			Dedup: policy.DedupRules{Mode: policy.DedupSeed, MaxIDs: 10, SwitchoverIDs: 10}, Rejoin: s.o.Rejoin, Repoint: s.o.Repoint, Salvage: s.o.Salvage},
	}}
	if !o.Shared {
		sr := s.rules.Streams[name]
		sr.Domains = map[string]string{"east": "east", "west": "west", "eu": "eu"}
		s.rules.Streams[name] = sr
	}
	for _, site := range sites {
		s.rules.Watchdogs["wd-"+site], s.rules.Sites[site] = site, policy.SiteRules{}
		s.memory["wd-"+site] = map[string]*policy.Snapshot{}
	}
	s.hash = s.rules.Hash()
	return s
}

// Run plays the weather, then the calm after it, and returns the first broken promise.
func (s *Sim) Run() error {
	s.elect()
	for range 3 {
		s.doRound()
	}
	for i := 0; i < s.o.Steps && s.err == nil; i++ {
		s.event()
	}
	if s.err == nil {
		s.becalm()
	}
	return s.err
}

// Trace is what happened, for a person.
func (s *Sim) Trace() []string { return s.trace }

func (s *Sim) log(format string, args ...any) {
	s.trace = append(s.trace, fmt.Sprintf("%6.1fs term %d  ", s.world.clock.Seconds(), s.term)+fmt.Sprintf(format, args...))
}

func (s *Sim) fail(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf(format, args...)
		s.log("BROKEN: %v", s.err)
	}
}

// event is one thing that happens in bad weather.
func (s *Sim) event() {
	switch n := s.rnd.IntN(100); {
	case n < 30:
		s.doRound()
	case n < 70:
		s.workSome()
	case n < 80:
		s.arrive()
	case n < 85:
		s.changeSite()
	case n < 88:
		s.elect()
	case n < 90:
		s.toggleHold()
	case n < 91:
		s.override()
	case n < 92:
		s.abandon()
	case n < 94:
		s.switchover()
	case n < 97 && s.o.Hands:
		s.hand()
	default:
		s.world.publish()
	}
	s.check()
}

// elect makes some watchdog the leader of a new term. Workers of the old one live on, deposed.
func (s *Sim) elect() {
	var can []string
	for _, site := range sites {
		if s.world.reaches(site) {
			can = append(can, "wd-"+site)
		}
	}
	s.term++
	s.round, s.fresh, s.sinceUp, s.wasUp, s.leader = 0, true, 0, false, ""
	if len(can) >= s.rules.Majority() {
		s.leader = can[s.rnd.IntN(len(can))]
	}
	s.log("leader is %q", s.leader)
}

func (s *Sim) toggleHold() {
	h := s.state.Hold
	s.log("hold %v", !h.Held)
	s.propose(policy.Command{Hold: &policy.HoldCommand{Held: !h.Held, Version: h.Version, By: "sim"}})
}

func (s *Sim) override() {
	s.log("override")
	s.propose(policy.Command{Override: &policy.OverrideCommand{Override: policy.Override{ID: fmt.Sprint("o", s.world.clock), By: "sim"}}})
}

// abandon gives the target of a failover up, which the policy allows only when nobody reaches it.
func (s *Sim) abandon() bool {
	a := s.st().Attempt
	if a == nil || s.propose(policy.Command{Abandon: &policy.AbandonCommand{Stream: name, Site: a.Target.Site, By: "sim"}}) != nil {
		return false
	}
	s.log("epoch %d is abandoned", a.Epoch)
	s.seen.Abandoned++
	return true
}

// switchover asks for one to any site.
func (s *Sim) switchover() {
	if s.leader == "" {
		return
	}
	site := sites[s.rnd.IntN(len(sites))]
	a, reason := policy.PlanSwitchover(s.rules, s.hash, s.leader, s.state, name, site)
	if reason.Code != policy.InProgress || a.Epoch == 0 {
		return
	}
	st := s.st()
	if s.propose(policy.Command{Begin: &policy.BeginCommand{Stream: name, Term: st.Clock.Term, Round: st.Clock.Round, Attempt: a}}) == nil {
		s.log("begins switchover %d: %s to %s", a.Epoch, a.From, a.Target)
	}
}

// changeSite crashes, returns, cuts off or heals a site: mostly the origin's.
func (s *Sim) changeSite() {
	w, site := s.world, "east"
	if s.rnd.IntN(8) == 0 {
		site = sites[s.rnd.IntN(len(sites))]
	}
	switch {
	case s.rnd.IntN(6) == 0:
		s.changePath()
	case s.rnd.IntN(8) == 0:
		w.behind[site] = !w.behind[site]
		w.follow()
		s.log("the mirror at %s falls behind: %v", site, w.behind[site])
	case !w.up[site] && s.rnd.IntN(8) == 0 && w.shared && !w.offline[site]:
		w.offline[site] = true
		s.log("%s is known offline", site)
	case !w.up[site] && s.rnd.IntN(3) > 0: // most outages last
	case !w.up[site]:
		w.up[site], w.offline[site] = true, false
		s.log("%s returns, with the configs it died with", site)
	case w.cut[site]:
		w.cut[site] = false
		w.catchUp(site)
		s.log("%s is healed", site)
	case s.rnd.IntN(3) == 0:
		w.catchUp(site)
		s.log("%s has caught up", site)
	case s.rnd.IntN(4) == 0:
		w.cut[site] = true
		s.log("%s is cut off", site)
	default:
		w.up[site] = false
		s.log("%s crashes", site)
	}
	if s.leader != "" && !w.reaches(s.rules.Watchdogs[s.leader]) {
		s.elect()
	}
}

// changePath lets one site lose another from sight, or find it again.
func (s *Sim) changePath() {
	p := path{sites[s.rnd.IntN(len(sites))], sites[s.rnd.IntN(len(sites))]}
	s.world.deaf[p] = !s.world.deaf[p]
	s.log("%s reaches %s: %v", p.from, p.via, !s.world.deaf[p])
}

// arrive lets a late copy of a write take effect, or get lost for good.
func (s *Sim) arrive() {
	if len(s.flying) == 0 {
		return
	}
	i := s.rnd.IntN(len(s.flying))
	w := s.flying[i]
	s.flying = slices.Delete(s.flying, i, i+1)
	if s.rnd.IntN(5) == 0 {
		s.log("write %s is lost", w.ID)
		return
	}
	s.log("write %s to %s arrives late", w.ID, w.Member)
	s.deliver(w)
}

// propose commits a command at once, as the log of the current term does.
func (s *Sim) propose(c policy.Command) error {
	c.At, c.By, c.Version = time.Unix(10_000, 0).UTC().Add(s.world.clock), s.leader, policy.FormatVersion
	next, err := policy.Apply(s.state, c)
	if err != nil {
		s.log("refused: %v", err)
		return err
	}
	s.seen.command(s, c)
	s.state = next
	return nil
}

func (s *Sim) st() policy.StreamState { return s.state.Streams[name] }

// becalm ends the weather: late copies arrive or get lost, everything is up and caught up, and the group has time.
func (s *Sim) becalm() {
	s.log("--- calm")
	s.calm = true
	for len(s.flying) > 0 {
		s.arrive()
		s.check()
	}
	for _, site := range sites {
		s.world.up[site], s.world.offline[site], s.world.cut[site] = true, false, false
		s.world.catchUp(site)
	}
	clear(s.world.deaf)
	clear(s.world.behind)
	if s.state.Hold.Held {
		s.toggleHold()
	}
	s.workers = nil
	s.elect()
	for range 40 {
		s.doRound()
		if s.o.Hands {
			s.mend()
		}
		for range 30 {
			if len(s.workers) == 0 {
				break
			}
			s.workSome()
			s.check()
		}
	}
	if s.err == nil {
		s.checkCalm()
	}
}
