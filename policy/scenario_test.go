package policy

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the expected outputs in testdata")

// TestScenarios plays the scripts of testdata/scenarios. A script is lines of commands; below each stands what it led
// to, behind "> ". `-update` writes those anew: review the diff.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/scenarios/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, want)
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			} else if !bytes.Equal(got, want) {
				t.Errorf("%s leads to:\n%s", file, got)
			}
		})
	}
}

// TestEveryCodeHasAScenario reads the codes from the source, so that a new one is not forgotten.
func TestEveryCodeHasAScenario(t *testing.T) {
	elsewhere := map[string]string{
		"no_quorum":    "the service says so: without a quorum nothing is decided",
		"hook_refused": "hooks come later",
	}
	src, err := os.ReadFile("reason.go")
	if err != nil {
		t.Fatal(err)
	}
	var all []byte
	files, err := filepath.Glob("testdata/scenarios/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	codes := regexp.MustCompile(`Code = "([a-z_]+)"`).FindAllSubmatch(src, -1)
	if len(codes) < 40 {
		t.Fatalf("only %d codes found", len(codes))
	}
	for _, m := range codes {
		code := string(m[1])
		if _, ok := elsewhere[code]; !ok && !regexp.MustCompile(`(?m)^> .*\b`+code+`\b`).Match(all) {
			t.Errorf("no scenario leads to %s", code)
		}
	}
}

// play runs a script and returns it with its outputs as they are.
func play(t *testing.T, script []byte) []byte {
	p := newPlay(t)
	var out bytes.Buffer
	for lines := bufio.NewScanner(bytes.NewReader(script)); lines.Scan(); {
		line := lines.Text()
		if strings.HasPrefix(line, "> ") {
			continue
		}
		fmt.Fprintln(&out, line)
		if words := strings.Fields(line); len(words) > 0 && !strings.HasPrefix(line, "#") {
			for _, l := range p.do(words[0], words[1:]) {
				fmt.Fprintln(&out, "> "+l)
			}
		}
	}
	return out.Bytes()
}

// scene is the stage of one script: three watchdogs, an origin at east, mirrors at west and eu.
type scene struct {
	t       *testing.T
	rules   Rules
	state   State
	now     time.Time
	term    uint64
	round   uint64
	members map[string]*Snapshot
	says    map[string]Evidence // by watchdog: of the primary
	gone    map[string]Evidence // by member: what everybody meets instead of an answer
	hashes  map[string]string
	last    map[string]Report        // by watchdog
	ages    map[string]time.Duration // by member: of the newest answer, when it does not answer
	sinceUp time.Duration            // since the newest up round of this term, if there was one
	wasUp   bool
	ownerOf []string
	after   afterwards
}

func newPlay(t *testing.T) *scene {
	p := &scene{t: t, state: NewState(), now: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC), term: 1,
		members: map[string]*Snapshot{}, says: map[string]Evidence{}, gone: map[string]Evidence{}, hashes: map[string]string{}, ages: map[string]time.Duration{}, last: map[string]Report{},
		after: afterwards{sent: map[WriteID]Write{}, spares: map[string]*Snapshot{}}}
	p.rules = Rules{Watchdogs: map[string]string{"wd-east": "east", "wd-west": "west", "wd-eu": "eu"}, Sites: map[string]SiteRules{},
		Brake: BrakeRules{Max: 2, Per: time.Hour}, Streams: map[string]StreamRules{"EVENTS": {
			Name: "EVENTS", Origin: MemberID{"east", "EVENTS"}, Mirrors: []MirrorRule{{MemberID: MemberID{"west", "W"}, Priority: 10}, {MemberID: MemberID{"eu", "E"}}},
			Mode: ModeUnattended, Interval: time.Second, Threshold: 5 * time.Second, MaxLoss: 100, Cooldown: 10 * time.Minute, Release: ReleaseFence}}}
	p.member("east/EVENTS", `{"name":"EVENTS","subjects":["events.>"],"retention":"limits","max_age":0}`)
	p.member("west/W", `{"name":"W","retention":"limits","mirror":{"name":"EVENTS","external":{"api":"$JS.east.API"}}}`)
	p.member("eu/E", `{"name":"E","retention":"limits","mirror":{"name":"EVENTS","external":{"api":"$JS.east.API"}}}`)
	return p
}

func (p *scene) member(key, config string) {
	s := &Snapshot{Created: time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC), LastSeq: 1000, Leader: "n", Replicas: 1, Current: 1, APILevel: 5,
		Config: json.RawMessage(config), ConfigSum: Sum([]byte(config))}
	if strings.Contains(config, `"mirror"`) {
		s.Mirror = &MirrorView{Name: "EVENTS", Active: 10 * time.Second}
	}
	p.members[key] = s
}

// do plays one line.
func (p *scene) do(verb string, args []string) []string {
	switch verb {
	case "set":
		return p.set(args)
	case "rounds", "round":
		return p.rounds(args)
	case "term":
		p.term, p.round, p.sinceUp, p.wasUp = p.term+1, 0, 0, false
	case "wait":
		p.now = p.now.Add(p.duration(args[0]))
	case "decide":
		return p.decide()
	case "candidates":
		return p.candidates()
	case "running": // a failover from another site, of another stream, runs
		p.state.Streams = maps.Clone(p.state.Streams)
		p.state.Streams["OTHER_"+args[0]] = StreamState{Name: "OTHER_" + args[0], Attempt: &Attempt{From: MemberID{Site: args[0], Stream: "OTHER"}}}
	case "outage": // a site's outage that was acted upon just now, for another stream
		p.state.countOutage(args[0], p.now, p.rules.Streams["EVENTS"])
	case "begin":
		return p.begin()
	case "hold", "resume":
		return p.propose(Command{Hold: &HoldCommand{Held: verb == "hold", Version: p.state.Hold.Version, By: "op"}})
	case "override":
		o := Override{ID: fmt.Sprint("o", p.state.EntrySeq), By: "op", KeepLossLimit: slices.Contains(args, "keep-loss-limit")}
		return p.propose(Command{Override: &OverrideCommand{Override: o}})
	case "abandon":
		return p.propose(Command{Abandon: &AbandonCommand{Stream: "EVENTS", Site: args[0], By: "op"}})
	case "adopt", "plan-adopt":
		return p.adopt(verb == "adopt", args)
	case "approve":
		return p.approve()
	case "ensure":
		return p.ensure()
	case "repair":
		return p.repair(args[0])
	case "reply":
		return p.reply(args[0])
	case "edit":
		p.member(args[0], strings.Join(args[1:], " "))
	default:
		return p.doAfterwards(verb, args)
	}
	return nil
}

// set changes the rules or what is seen: mode=manual, wd-east=timeout, west/W.last_seq=900, eu/E=timeout.
func (p *scene) set(args []string) []string {
	for _, a := range args {
		key, value, _ := strings.Cut(a, "=")
		sr := p.rules.Streams["EVENTS"]
		member, field, isField := strings.Cut(key, ".")
		switch {
		case key == "mode":
			sr.Mode = Mode(value)
		case key == "threshold":
			sr.Threshold = p.duration(value)
		case key == "fence_after":
			sr.FenceAfter = p.duration(value)
		case key == "max_loss":
			sr.MaxLoss = p.number(value)
		case key == "origin":
			sr.Origin = memberOf(value)
		case key == "mirrors":
			sr.Mirrors = nil
			for _, key := range strings.Split(value, ",") {
				sr.Mirrors = append(sr.Mirrors, MirrorRule{MemberID: memberOf(key)})
			}
		case key == "domains":
			sr.Domains = map[string]string{"east": "east", "west": "west", "eu": "eu", "ap": "ap"}
		case key == "release":
			sr.Release = Release(value)
		case key == "rejoin":
			sr.Rejoin = Rejoin(value)
		case key == "repoint":
			sr.Repoint = Repoint(value)
		case key == "owners":
			p.ownerOf = strings.FieldsFunc(value, func(r rune) bool { return r == ',' })
		case p.setAfterwards(key, value):
			sr = p.rules.Streams["EVENTS"]
		case strings.HasPrefix(key, "hash-"):
			p.hashes[strings.TrimPrefix(key, "hash-")] = value
		case strings.HasPrefix(key, "site-"):
			p.rules.Watchdogs[strings.TrimPrefix(key, "site-")] = value
		case strings.HasPrefix(key, "promote-"):
			for i, m := range sr.Mirrors {
				if m.String() == strings.TrimPrefix(key, "promote-") {
					sr.Mirrors = slices.Clone(sr.Mirrors)
					sr.Mirrors[i].PromoteNever = value == "never"
				}
			}
		case strings.HasPrefix(key, "wd-"):
			p.says[key] = Evidence(value)
		case isField:
			p.setField(member, field, value)
		case value == "back":
			delete(p.gone, key)
		case value == "never_read":
			p.gone[key], p.ages[key] = Timeout, -1
		default:
			p.gone[key] = Evidence(value)
		}
		p.rules.Streams["EVENTS"] = sr
	}
	return nil
}

func (p *scene) setField(member, field, value string) {
	s, ok := p.members[member]
	if !ok {
		s, ok = p.after.spares[member]
	}
	if !ok {
		p.t.Fatalf("no such stream: %s", member)
	}
	switch field {
	case "last_seq":
		s.LastSeq = p.number(value)
	case "active":
		if s.Mirror == nil {
			p.t.Errorf("%s is no mirror", member)
			return
		}
		s.Mirror.Active = p.duration(value)
	case "api_level":
		s.APILevel = int(p.number(value))
	case "rate":
		s.Rate = float64(p.number(value))
	case "age":
		p.ages[member] = p.duration(value)
	case "created":
		s.Created = s.Created.Add(p.duration(value))
	default:
		p.t.Fatalf("no such field: %s", field)
	}
}

// rounds plays N rounds, each a duration after the one before: "rounds 3 1s".
func (p *scene) rounds(args []string) []string {
	n, every := uint64(1), time.Second
	if len(args) > 0 {
		n = p.number(args[0])
	}
	if len(args) > 1 {
		every = p.duration(args[1])
	}
	for range n {
		p.oneRound(every)
	}
	st := p.state.Streams["EVENTS"]
	return []string{fmt.Sprintf("%s %s; outage %s, agreed %s", st.Round.Agreement, st.Round.Reason.Code, st.Clock.Outage, st.Clock.Agreed)}
}

func (p *scene) oneRound(every time.Duration) {
	p.now = p.now.Add(every)
	for _, rep := range p.last { // what was reported before grows older
		for _, m := range rep.Streams["EVENTS"].Members {
			for i := range m.Looks {
				m.Looks[i].Age += every
			}
		}
	}
	p.round++
	sr := p.rules.Streams["EVENTS"]
	r := Merge(p.rules, p.state.Stream(sr), sr, p.term, p.round, p.reports())
	if p.round > 1 {
		r.Elapsed = every
	}
	if p.wasUp {
		p.sinceUp += every
		r.SinceUp = p.sinceUp
	}
	if r.Agreement == AgreedUp {
		p.sinceUp, p.wasUp = 0, true
	}
	if !Worth(p.state, sr, r) {
		return
	}
	c := Command{Round: &RoundCommand{Term: p.term, Number: p.round, Streams: map[string]StreamRound{"EVENTS": r},
		Rules: map[string]StreamRules{"EVENTS": sr}, Intervals: map[string]time.Duration{"EVENTS": sr.Interval}}}
	p.apply(c)
}

func (p *scene) reports() []Report {
	var list []Report
	primary := p.state.Stream(p.rules.Streams["EVENTS"]).Primary.String()
	for _, node := range sortedKeys(p.rules.Watchdogs) {
		rep := Report{Node: node, Site: p.rules.Watchdogs[node], ConfigHash: p.rules.Hash(), Term: p.term, Round: p.round, Streams: map[string]StreamReport{}}
		if h := p.hashes[node]; h != "" {
			rep.ConfigHash = h
		}
		if p.says[node] == "absent" {
			continue
		}
		if p.says[node] == "silent" { // its last report is all there is
			if last, ok := p.last[node]; ok {
				list = append(list, last)
			}
			continue
		}
		members := map[string]MemberReport{}
		for _, key := range sortedKeys(p.members) {
			e, last := Answered, *p.members[key]
			if shape, _ := ShapeOf(last.Config); shape.Kind == ShapeParked {
				e = AnsweredParked
			}
			if g, ok := p.gone[key]; ok {
				e = g
			}
			if says, ok := p.says[node]; ok && key == primary {
				e = says
			}
			if last.Age = 0; e != Answered && e != AnsweredParked {
				last.Age = max(p.ages[key], time.Second)
			}
			members[key] = MemberReport{Looks: []Look{{Via: memberOf(key).Site, Evidence: e}}, Last: &last}
			if p.ages[key] < 0 {
				members[key] = MemberReport{Looks: members[key].Looks}
			}
		}
		rep.Streams["EVENTS"] = StreamReport{Members: members}
		list, p.last[node] = append(list, rep), rep
	}
	return list
}

func (p *scene) decision() Action {
	return Decide(p.rules, p.rules.Hash(), "wd-west", p.state, "EVENTS")
}

func (p *scene) decide() []string {
	a := p.decision()
	return []string{fmt.Sprintf("%s %s: %s", a.Kind, a.Reason.Code, a.Reason.Text)}
}

func (p *scene) candidates() []string {
	var out []string
	for _, c := range Candidates(p.state.Streams["EVENTS"], p.rules.Streams["EVENTS"]) {
		out = append(out, fmt.Sprintf("%s %s: %s; last_seq %d, loss %+v", c.ID, c.Reason.Code, c.Reason.Text, c.LastSeq, c.Loss))
	}
	return out
}

func (p *scene) begin() []string {
	a, st := p.decision(), p.state.Streams["EVENTS"]
	if a.Kind != ActBegin {
		return p.decide()
	}
	return p.propose(Command{Begin: &BeginCommand{Stream: "EVENTS", Term: st.Clock.Term, Round: st.Clock.Round, Attempt: *a.Attempt}})
}

func (p *scene) approve() []string {
	a := p.decision()
	best := a.Candidates[0]
	return p.propose(Command{Approve: &ApproveCommand{Stream: "EVENTS", Approval: Approval{
		Epoch: p.state.Streams["EVENTS"].Epoch + 1, Target: best.ID, Loss: best.Loss, By: "op"}}})
}

func (p *scene) apply(c Command) error {
	c.Version, c.At, c.By = FormatVersion, p.now, "wd-west"
	next, err := Apply(p.state, c)
	if err == nil {
		p.state = next
	}
	return err
}

func (p *scene) propose(c Command) []string {
	if err := p.apply(c); err != nil {
		return []string{err.Error()}
	}
	return []string{"taken"}
}

// views are what a step would read now.
func (p *scene) views() Views {
	v := Views{Members: map[string]View{}, Owners: p.ownerOf, OwnersEvidence: Answered, Ready: true, Still: true}
	for key, s := range p.members {
		view := View{Evidence: Answered, Snapshot: s}
		if shape, _ := ShapeOf(s.Config); shape.Kind == ShapeParked {
			view.Evidence = AnsweredParked
		}
		if g, ok := p.gone[key]; ok {
			view = View{Evidence: g}
		}
		v.Members[key] = view
	}
	p.planned(&v)
	return v
}

// ensure asks for the next move and makes it in the log; a write stays open until reply says what came of it.
func (p *scene) ensure() []string {
	st := p.state.Streams["EVENTS"]
	m := Ensure(st, "wd-west", p.views())
	if m.Kind == MoveFreeze { // there are no consumers
		p.propose(Command{Carry: &CarryCommand{Stream: "EVENTS", Epoch: st.Epoch, Freeze: true}})
		return p.ensure()
	}
	switch m.Kind {
	case MoveClose:
		return append([]string{fmt.Sprintf("close %s %s", m.Close.Write, m.Close.How)}, p.propose(Command{Close: &m.Close})...)
	case MoveResult:
		return append([]string{fmt.Sprintf("%s %s %s: %s", m.Result.Phase, m.Result.Outcome, m.Result.Reason.Code, m.Result.Reason.Text)}, p.propose(Command{Result: &m.Result})...)
	case MoveSend:
		return p.opens(m, st.Attempt.Phase)
	}
	return []string{"nothing to do"}
}

// reply closes the newest open write that has left as done on the server (ok), refused or not sent, or it was lost on the way there (lost)
// or back (late), and stays open.
func (p *scene) reply(how string) []string {
	open := slices.DeleteFunc(p.state.Streams["EVENTS"].OpenWrites(), func(w Write) bool { _, sent := p.after.sent[w.ID]; return !sent })
	if len(open) == 0 {
		return []string{"no write is open"}
	}
	w := open[len(open)-1]
	if how == "ok" || how == "late" {
		p.land(w)
	}
	if how == "late" || how == "lost" {
		return nil
	}
	c := CloseCommand{Stream: "EVENTS", Member: w.Member, Write: w.ID, How: ClosedReplied, Only: w.Kind == WriteDelete} // a delete is sent once
	if how == "refused" || how == "not_sent" {
		c.How = CloseHow(how)
	}
	return p.propose(Command{Close: &c})
}

func (p *scene) duration(s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		p.t.Fatal(err)
	}
	return d
}

func (p *scene) number(s string) uint64 {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}
