package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// spareView is what a look at a spare copy finds.
func (p *scene) spareView(id MemberID) View {
	if s, ok := p.after.spares[id.String()]; ok {
		return View{Evidence: Answered, Snapshot: s}
	}
	return View{Evidence: NotFound}
}

// spareReply does with the newest open write to a spare copy what its server does. A new copy holds what the second word says.
func (p *scene) spareReply(args []string) []string {
	w, ok := p.openSpare()
	w.Config = p.after.sent[w.ID].Config
	key := w.Member.String()
	switch {
	case !ok:
		return []string{"no write to a spare copy is open"}
	case args[0] == "lost":
		return nil
	case args[0] == "refused":
		st := p.state.Streams["EVENTS"]
		p.propose(Command{Spare: &SpareCommand{Stream: "EVENTS", Spare: w.Member, Close: w.ID}})
		of := st.Spares[key].For
		c := st.Aftercare[of.String()]
		r := SpareRefused(st, of, "insufficient storage resources available (10047)")
		return append([]string{fmt.Sprintf("%s waits: %s: %s", of, r.Code, r.Text)},
			p.propose(Command{Care: &CareCommand{Stream: "EVENTS", Member: of, Epoch: c.Epoch, Phase: c.Phase, Outcome: OutcomeWaiting, Reason: r}})...)
	case w.Kind == WriteUnspare:
		delete(p.after.spares, key)
	default:
		p.after.made++
		s := &Snapshot{Created: p.now.Add(time.Duration(p.after.made) * time.Hour), Config: w.Config, ConfigSum: Sum(w.Config), Leader: "n", Replicas: 1, Current: 1, APILevel: 5,
			Mirror: &MirrorView{Name: w.Shape.Upstream, Active: 200 * time.Millisecond}}
		if len(args) > 1 {
			s.LastSeq = p.number(args[1])
		}
		p.after.spares[key] = s
	}
	return p.propose(Command{Spare: &SpareCommand{Stream: "EVENTS", Spare: w.Member, Close: w.ID}})
}

// openSpare is the newest open write to a spare copy.
func (p *scene) openSpare() (newest Write, ok bool) {
	for _, s := range p.state.Streams["EVENTS"].Spares {
		for _, w := range s.Writes {
			if w.Open() && w.Seq > newest.Seq {
				newest, ok = w, true
			}
		}
	}
	return newest, ok
}

// unspare asks for the next move of the end of a spare copy and makes it in the log.
func (p *scene) unspare(key string, args []string) []string {
	due := SparesDue(p.state, "EVENTS")
	i := slices.IndexFunc(due, func(s Spare) bool { return s.ID.String() == key })
	if i < 0 {
		return []string{"not due"}
	}
	st := p.state.Streams["EVENTS"]
	v := SpareViews{Spare: p.spareView(due[i].ID), Primary: p.views().Members[st.Primary.String()], ArchiveStands: !p.after.archiveGone}
	for len(args) > 0 {
		switch args[0] {
		case "waited":
			v.Waited, args = p.duration(args[1]), args[2:]
		case "archive":
			n := p.number(args[1])
			v.Archive = &Tail{Fork: p.number(args[2]), MemberLast: v.Spare.Snapshot.LastSeq, Messages: n, Site: st.Primary.Site,
				Stream: "UNDERSTUDY_SALVAGE_EVENTS_" + fmt.Sprint(due[i].Stray) + "_" + due[i].Of()}
			args = args[3:]
		default:
			p.t.Fatalf("unspare: %v", args)
		}
	}
	switch m := EnsureSpare(st, due[i], v); m.Kind {
	case MoveSend:
		return p.opens(m, "")
	case MoveSpare:
		return p.spareMove(m.Spare)
	case MoveArchive:
		return []string{"archive it"}
	}
	return []string{"nothing to do"}
}

// spareMove says what a move logs about a spare copy.
func (p *scene) spareMove(c SpareCommand) []string {
	line := fmt.Sprintf("%s waits: %s: %s", c.Spare, c.Waiting.Code, c.Waiting.Text)
	switch {
	case c.Close != "":
		line = fmt.Sprintf("close %s", c.Close)
	case c.Gone:
		line = fmt.Sprintf("%s is gone", c.Spare)
	case c.Tail != nil:
		line = fmt.Sprintf("%d messages of %s above sequence %d are archived in %s", c.Tail.Messages, c.Spare, c.Tail.Fork, c.Tail.Stream)
	}
	return append([]string{line}, p.propose(Command{Spare: &c})...)
}

func (p *scene) spares() []string {
	st := p.state.Streams["EVENTS"]
	out := []string{}
	for _, key := range sortedKeys(st.Spares) {
		s := st.Spares[key]
		line := fmt.Sprintf("%s for %s, follows %s; needed %v, stray %d above %d", s.ID, s.For, s.Follow, st.needsSpare(s), s.Stray, s.ForkLimit)
		for _, w := range s.Writes {
			line += fmt.Sprintf(", %s open", w.ID)
		}
		out = append(out, line)
	}
	if len(out) == 0 {
		return []string{"none"}
	}
	return out
}

// spared is a state with a spare copy that is needed, the write that made it still open.
func spared(t *testing.T) State { return playSpare(t, "") }

// sparedOnce is a state with a spare copy that is not needed, and of before another failover.
func sparedOnce(t *testing.T) State {
	return playSpare(t, `
spare ok 1000
rejoin eu/E
round
wait 10m
set wd-east=timeout wd-west=timeout wd-eu=timeout west/W=timeout
rounds 6 1s
run
set wd-east=answered wd-west=answered wd-eu=answered west/W=back
round
unspare eu/E_SPARE_1_3`)
}

func playSpare(t *testing.T, more string) State {
	p := newPlay(t)
	for line := range strings.Lines(`set domains=on repoint=auto
round
set wd-east=timeout wd-west=timeout wd-eu=timeout east/EVENTS=timeout
rounds 6 1s
run
set wd-east=answered wd-west=answered wd-eu=answered
round
care eu/E
care eu/E
care eu/E
care eu/E` + more) {
		words := strings.Fields(line)
		p.do(words[0], words[1:])
	}
	return p.state
}

// drawSpare draws what a leader might say of a spare copy, mostly of one that there is.
func drawSpare(t *rapid.T, st StreamState) *SpareCommand {
	c := &SpareCommand{Stream: "EVENTS", Epoch: st.Epoch - min(st.Epoch, rapid.Uint64Range(0, 1).Draw(t, "late")),
		For: MemberID{"eu", "E"}, Spare: MemberID{"eu", "E_SPARE_9_9"}}
	if len(st.Spares) > 0 && rapid.IntRange(0, 4).Draw(t, "known") > 0 {
		s := st.Spares[rapid.SampledFrom(sortedKeys(st.Spares)).Draw(t, "spare")]
		c.For, c.Spare = s.For, s.ID
		if len(s.Writes) > 0 && rapid.Bool().Draw(t, "close") {
			c.Close = s.Writes[0].ID
			return c
		}
	}
	switch kind := rapid.SampledFrom([]WriteKind{WriteSpare, WriteUnspare, WriteDelete, ""}).Draw(t, "write"); {
	case kind != "":
		c.Open = &Write{ID: NewWriteID(st.Epoch, kind, int(st.WriteSeq)+rapid.IntRange(0, 1).Draw(t, "next")), Kind: kind, Member: c.Spare, Via: "eu"}
	case rapid.Bool().Draw(t, "gone"):
		c.Gone = true
	case rapid.Bool().Draw(t, "account"):
		c.Tail = &Tail{Messages: rapid.Uint64Range(0, 2).Draw(t, "messages")}
	default:
		c.Waiting = Reason{Code: Unreachable, Text: "why"}
	}
	return c
}
