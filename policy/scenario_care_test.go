package policy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// afterwards is what a scene knows beside the members, for switchovers and the care of members.
type afterwards struct {
	sent            map[WriteID]Write // every write that left, by id: a copy of it may arrive late
	made            int               // members that were made anew
	unlisted        bool
	archiveGone     bool
	drained         *uint64 // nil: what the parked primary holds
	drainUnknown    bool
	running, silent time.Duration
	seeds           int // that a promoted target is made to know
	spares          map[string]*Snapshot
}

// doAfterwards plays the lines of what follows a failover, or is planned.
func (p *scene) doAfterwards(verb string, args []string) []string {
	switch verb {
	case "switchover": // SITE [deadline]
		return p.switchover(args)
	case "run": // the attempt to its end, or until it waits; all its writes are answered
		return p.runAttempt()
	case "rejoin": // MEMBER: its care to its end, or until it waits
		return p.runCare(args[0])
	case "care": // MEMBER [waited 11s] [archive MESSAGES FORK]
		return p.care(args[0], args[1:])
	case "ask": // MEMBER
		c := p.state.Streams["EVENTS"].Aftercare[args[0]]
		return p.propose(Command{Care: &CareCommand{Stream: "EVENTS", Member: memberOf(args[0]), Epoch: c.Epoch, Outcome: OutcomeAsk, By: "op"}})
	case "arrives": // WRITE: a late copy of it, or the first one that another leader sent
		return []string{p.land(p.written(WriteID(args[0])))}
	case "cares": // which members are cared for now
		return []string{fmt.Sprint(Cares(p.state, p.rules.Streams["EVENTS"]))}
	case "open": // the writes that are
		return []string{p.openWrites()}
	case "archives":
		return p.archives()
	case "spare": // ok [LAST_SEQ], lost, or refused: what becomes of the newest open write to a spare copy
		return p.spareReply(args)
	case "unspare": // SPARE [waited 11s] [archive MESSAGES FORK]
		return p.unspare(args[0], args[1:])
	case "spares":
		return p.spares()
	case "history": // the newest N entries
		h := p.state.History
		var out []string
		for _, e := range h[len(h)-int(p.number(args[0])):] {
			out = append(out, fmt.Sprintf("%d %s %s: %s", e.Epoch, e.Kind, e.Reason.Code, e.Reason.Text))
		}
		return out
	}
	p.t.Fatalf("no such verb: %s", verb)
	return nil
}

// setAfterwards sets what a step reads beside the members; it returns false for other keys.
func (p *scene) setAfterwards(key, value string) bool {
	switch key {
	case "seeds":
		sr := p.rules.Streams["EVENTS"]
		p.after.seeds = int(p.number(value))
		sr.Dedup = DedupRules{Mode: DedupSeed, MaxIDs: p.after.seeds, SwitchoverIDs: p.after.seeds}
		p.rules.Streams["EVENTS"] = sr
	case "listed":
		p.after.unlisted = value == "no"
	case "archive":
		p.after.archiveGone = value == "gone"
	case "running":
		p.after.running = p.duration(value)
	case "silent":
		p.after.silent = p.duration(value)
	case "drained":
		p.after.drained, p.after.drainUnknown = nil, value == "unknown"
		if value != "unknown" && value != "all" {
			n := p.number(value)
			p.after.drained = &n
		}
	default:
		return false
	}
	return true
}

func (p *scene) switchover(args []string) []string {
	a, reason := PlanSwitchover(p.rules, p.rules.Hash(), "wd-west", p.state, "EVENTS", args[0])
	if a.Epoch == 0 {
		return []string{fmt.Sprintf("not now: %s: %s", reason.Code, reason.Text)}
	}
	a.Trigger = "command of op"
	if len(args) > 1 {
		a.Deadline = p.duration(args[1])
	}
	k := p.state.Streams["EVENTS"].Clock
	return p.propose(Command{Begin: &BeginCommand{Stream: "EVENTS", Term: k.Term, Round: k.Round, Attempt: a}})
}

// runAttempt begins a failover unless an attempt runs, and carries it on while it can be.
func (p *scene) runAttempt() []string {
	if p.state.Streams["EVENTS"].Attempt == nil {
		if out := p.begin(); out[0] != "taken" {
			return out
		}
	}
	for range 30 {
		a := p.state.Streams["EVENTS"].Attempt
		if a == nil {
			break
		}
		p.ownerOf = nil
		if shape, _ := ShapeOf(p.members[a.Target.String()].Config); shape.Kind == ShapeBound {
			p.ownerOf = []string{a.Target.Stream}
		}
		out := p.ensure()
		if w := p.state.Streams["EVENTS"].OpenWrites(); strings.HasPrefix(out[0], "send ") && len(w) > 0 {
			p.reply("ok")
		} else if strings.Contains(out[0], " waiting ") {
			return out
		}
	}
	a := p.state.Streams["EVENTS"].Last
	return []string{fmt.Sprintf("%s %d from %s to %s is %s", a.Kind, a.Epoch, a.From, a.Target, a.Phase)}
}

// runCare carries the care of a member on while it can be; a mirror that is made has caught up at once.
func (p *scene) runCare(key string) []string {
	for range 30 {
		out := p.care(key, []string{"archive", "0", fmt.Sprint(p.members[key].LastSeq)})
		st := p.state.Streams["EVENTS"]
		switch {
		case strings.HasPrefix(out[0], "send ") && strings.Contains(out[0], ".spare."):
			p.spareReply([]string{"ok", fmt.Sprint(p.members[st.Primary.String()].LastSeq)})
		case strings.HasPrefix(out[0], "send "):
			p.reply("ok")
			p.members[key].LastSeq = p.members[st.Primary.String()].LastSeq
		case strings.Contains(out[0], " waiting "), strings.Contains(out[0], "not cared"):
			return out
		case strings.HasPrefix(out[0], "catch_up done"):
			p.members[key].Mirror.Active = 10 * time.Second // no witness of its primary, unless a script says so
			return out
		}
	}
	return []string{"no end"}
}

// planned adds to the views what a step of a switchover reads.
func (p *scene) planned(v *Views) {
	v.Running, v.Silent = p.after.running, p.after.silent
	v.Seed = &SeedRecord{Seeded: p.after.seeds, Burned: uint64(p.after.seeds)}
	st := p.state.Streams["EVENTS"]
	if st.Attempt == nil || p.after.drainUnknown {
		return
	}
	if from := v.Members[st.Attempt.From.String()]; from.Evidence == AnsweredParked {
		v.Drained, v.DrainedKnown = from.Snapshot.LastSeq, true
		if p.after.drained != nil {
			v.Drained = *p.after.drained
		}
	}
}

// care asks for the next move of the care of a member and makes it in the log.
func (p *scene) care(key string, args []string) []string {
	p.search()
	st, sr, id := p.state.Streams["EVENTS"], p.rules.Streams["EVENTS"], memberOf(key)
	if !slices.Contains(Cares(p.state, sr), id) {
		return []string{"not cared for now"}
	}
	m := EnsureCare(st, sr, "wd-west", id, p.careViews(st, key, args))
	switch m.Kind {
	case MoveClose:
		return append([]string{fmt.Sprintf("close %s %s", m.Close.Write, m.Close.How)}, p.propose(Command{Close: &m.Close})...)
	case MoveCare:
		line := fmt.Sprintf("%s %s %s: %s", m.Care.Phase, m.Care.Outcome, m.Care.Reason.Code, m.Care.Reason.Text)
		if m.Care.Outcome == OutcomeBegin {
			line = fmt.Sprintf("%s %s", m.Care.Outcome, m.Care.Kind)
		}
		return append([]string{line}, p.propose(Command{Care: &m.Care})...)
	case MoveArchive:
		return []string{"archive it"}
	case MoveSpare:
		return p.spareMove(m.Spare)
	case MoveSend:
		return p.opens(m, st.Aftercare[key].Phase)
	}
	return []string{"nothing to do"}
}

// search finds no stream that sources from a replaced primary, at any site.
func (p *scene) search() {
	st := p.state.Streams["EVENTS"]
	for key := range p.members {
		if site := memberOf(key).Site; st.Scans[site].Epoch < st.succession().Epoch {
			p.propose(Command{Source: &SourceCommand{Stream: "EVENTS", Epoch: st.Epoch, Site: site}})
		}
	}
}

func (p *scene) careViews(st StreamState, key string, args []string) CareViews {
	views := p.views().Members
	v := CareViews{Member: views[key], Primary: views[st.Primary.String()], Listed: !p.after.unlisted, ArchiveStands: !p.after.archiveGone,
		Spare: p.spareView(st.Aftercare[key].Spare), Others: map[string]View{}}
	for _, o := range st.Others(memberOf(key)) {
		v.Others[o.String()] = views[o.String()]
	}
	for len(args) > 0 {
		switch args[0] {
		case "waited":
			v.Waited, args = p.duration(args[1]), args[2:]
			v.SpareWaited = v.Waited
		case "archive":
			v.Archive, args = p.tail(st, key, p.number(args[1]), p.number(args[2])), args[3:]
		default:
			p.t.Fatalf("care: %v", args)
		}
	}
	return v
}

// tail is the account of an archive of so many messages above a fork.
func (p *scene) tail(st StreamState, key string, messages, fork uint64) *Tail {
	t := &Tail{Fork: fork, MemberLast: p.members[key].LastSeq}
	if messages > 0 {
		t.Site, t.Stream = st.Primary.Site, strings.TrimSuffix(fmt.Sprint("UNDERSTUDY_SALVAGE_EVENTS_", st.Aftercare[key].Epoch, "_", st.Aftercare[key].Of()), "_")
		t.Messages, t.First, t.Last, t.Digest = messages, fork+1, t.MemberLast, "d"
	}
	return t
}

// written is a write that has left, or is open.
func (p *scene) written(id WriteID) Write {
	if w, sent := p.after.sent[id]; sent {
		return w
	}
	open := p.state.Streams["EVENTS"].OpenWrites()
	i := slices.IndexFunc(open, func(w Write) bool { return w.ID == id })
	if i < 0 {
		p.t.Fatalf("write %s is not known", id)
	}
	return open[i]
}

// opens logs a write, and keeps what leaves.
func (p *scene) opens(m Move, phase Phase) []string {
	w := m.Write
	out := []string{fmt.Sprintf("send %s %s to %s via %s, again %v: %s", w.ID, w.Kind, w.Member, w.Via, m.Resend, w.Shape)}
	if w.Kind == WriteDelete || w.Kind == WriteUnspare {
		out[0] = fmt.Sprintf("send %s %s to %s via %s", w.ID, w.Kind, w.Member, w.Via)
	}
	if p.after.sent[w.ID] = w; m.Resend {
		return out
	}
	if m.Spare.Open != nil {
		return append(out, p.propose(Command{Spare: &m.Spare})...)
	}
	open := OpenCommand{Stream: "EVENTS", Epoch: p.state.Streams["EVENTS"].Epoch, Phase: phase, Write: w, Seen: m.Seen}
	if m.Ahead == nil {
		return append(out, p.propose(Command{Open: &open})...)
	}
	out = append(out, fmt.Sprintf("ahead %s %s to %s via %s: %s", m.Ahead.ID, m.Ahead.Kind, m.Ahead.Member, m.Ahead.Via, m.Ahead.Shape))
	ahead := open
	ahead.Write = *m.Ahead
	return append(out, p.propose(Together([]Command{{Open: &open}, {Open: &ahead}}))...)
}

// repair asks for the next move for a member outside of an attempt, if it is a debt, or awaited.
func (p *scene) repair(key string) []string {
	st, id := p.state.Streams["EVENTS"], memberOf(key)
	if !slices.Contains(append(Debts(p.state, p.rules.Streams["EVENTS"]), Awaited(p.state, p.rules.Streams["EVENTS"])...), id) {
		return []string{"no debt"}
	}
	m := Repair(st, "wd-west", id, id.Site, p.views().Members[key])
	if m.Kind == MoveClose {
		return append([]string{fmt.Sprintf("close %s %s", m.Close.Write, m.Close.How)}, p.propose(Command{Close: &m.Close})...)
	}
	if m.Kind != MoveSend {
		return []string{string(m.Kind)}
	}
	return p.opens(m, "")
}

// land carries a write out as the member's server does, and says what came of it.
func (p *scene) land(w Write) string {
	key := w.Member.String()
	s, exists := p.members[key], p.gone[key] != NotFound
	switch {
	case w.Kind == WriteDelete && exists:
		p.gone[key] = NotFound
		return key + " is deleted"
	case w.Kind == WriteCreate && !exists:
		delete(p.gone, key)
		p.after.made++
		p.member(key, string(w.Config))
		made := p.members[key]
		made.Created, made.LastSeq = made.Created.Add(time.Duration(p.after.made)*time.Hour), 0
		made.Mirror = &MirrorView{Name: w.Shape.Upstream, Active: 200 * time.Millisecond}
		return fmt.Sprintf("%s is made anew: %s", key, w.Shape)
	case w.Kind == WriteCreate, !exists, Sealed(s.Config):
		return "refused by the server"
	}
	s.Config, s.ConfigSum = w.Config, Sum(w.Config)
	if w.Shape.Kind != ShapeMirror {
		s.Mirror = nil
	}
	return fmt.Sprintf("%s is %s", key, w.Shape)
}

func (p *scene) openWrites() string {
	var ids []string
	for _, w := range p.state.Streams["EVENTS"].OpenWrites() {
		ids = append(ids, string(w.ID))
	}
	if len(ids) == 0 {
		return "none"
	}
	return strings.Join(ids, " ")
}

func (p *scene) archives() []string {
	var out []string
	for _, a := range p.state.Streams["EVENTS"].Archives {
		b, err := json.Marshal(a)
		if err != nil {
			p.t.Fatal(err)
		}
		out = append(out, string(b))
	}
	return out
}
