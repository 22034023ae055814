package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestRankingIsTotal: the order of the candidates is the same whatever order they come in, and no two are equal.
func TestRankingIsTotal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var list []Candidate
		for i := range rapid.IntRange(2, 6).Draw(t, "n") {
			code := Eligible
			if rapid.Bool().Draw(t, "not") {
				code = Filtered
			}
			list = append(list, Candidate{
				ID: MemberID{Site: fmt.Sprint("s", i), Stream: "M"}, Reason: Reason{Code: code},
				LastSeq:  rapid.Uint64Range(0, 2).Draw(t, "seq"),
				LastTime: time.Unix(rapid.Int64Range(0, 1).Draw(t, "time"), 0),
				Healthy:  rapid.IntRange(0, 1).Draw(t, "healthy"), Priority: rapid.IntRange(0, 1).Draw(t, "priority"),
			})
		}
		want := slices.Clone(list)
		slices.SortFunc(want, compareCandidates)
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		slices.SortFunc(list, compareCandidates)
		if !reflect.DeepEqual(list, want) {
			t.Errorf("got %v, want %v", list, want)
		}
		for i := range list[1:] {
			if compareCandidates(list[i], list[i+1]) >= 0 {
				t.Errorf("%v is not before %v", list[i], list[i+1])
			}
		}
	})
}

// drawCommand draws a command that may or may not fit: epochs, phases and members of about the right kind.
func drawCommand(t *rapid.T, s State) Command {
	ids := []MemberID{{"east", "EVENTS"}, {"west", "W"}, {"eu", "E"}, {"", ""}}
	id := rapid.SampledFrom(ids)
	st := s.Streams["EVENTS"]
	epoch := st.Epoch + rapid.Uint64Range(0, 2).Draw(t, "epoch")
	phase := rapid.SampledFrom([]Phase{"", PhaseConfirm, PhaseFence, PhasePromote, PhaseBind, PhaseVerify, PhaseAborting, PhaseDone,
		PhaseSeal, PhaseArchive, PhaseArchived, PhaseDelete, PhaseCreate, PhaseCatchUp})
	kind := rapid.SampledFrom([]WriteKind{WritePark, WriteUnpark, WritePromote, WriteBind, WriteDelete, WriteSeal, WriteCreate}).Draw(t, "kind")
	c := Command{Version: FormatVersion, At: time.Unix(rapid.Int64Range(0, 1e6).Draw(t, "at"), 0).UTC(), By: "wd"}
	switch rapid.IntRange(0, 10).Draw(t, "what") {
	case 0:
		a := Attempt{Epoch: epoch, From: id.Draw(t, "from"), Target: id.Draw(t, "target"), Subjects: []string{"events.>"}}
		c.Begin = &BeginCommand{Stream: "EVENTS", Term: st.Clock.Term, Round: st.Clock.Round, Attempt: a}
	case 1:
		w := Write{ID: NewWriteID(epoch, kind, rapid.IntRange(0, 5).Draw(t, "n")), Kind: kind, Member: id.Draw(t, "member")}
		c.Open = &OpenCommand{Stream: "EVENTS", Epoch: epoch, Phase: phase.Draw(t, "phase"), Write: w}
		if rapid.Bool().Draw(t, "seen") {
			c.Open.Seen = &Snapshot{Created: time.Unix(rapid.Int64Range(0, 1).Draw(t, "created"), 0).UTC(), LastSeq: 7, Config: json.RawMessage(`{"name":"X","subjects":["events.>"]}`)}
		}
	case 2:
		c.Close = &CloseCommand{Stream: "EVENTS", Member: id.Draw(t, "member"), Write: NewWriteID(epoch, kind, rapid.IntRange(0, 5).Draw(t, "n")), How: ClosedReplied}
	case 3:
		o := rapid.SampledFrom([]Outcome{OutcomeDone, OutcomeAbort, OutcomeWaiting, "other"}).Draw(t, "outcome")
		c.Result = &ResultCommand{Stream: "EVENTS", Epoch: epoch, Phase: phase.Draw(t, "phase"), Outcome: o}
	case 4:
		c.Hold = &HoldCommand{Stream: rapid.SampledFrom([]string{"", "EVENTS", "OTHER"}).Draw(t, "stream"), Held: rapid.Bool().Draw(t, "held"), Version: rapid.Uint64Range(0, 2).Draw(t, "version")}
	case 5:
		c.Override = &OverrideCommand{Override: Override{ID: "o", By: "op"}}
	case 10:
		c.Spare = drawSpare(t, st)
	case 9:
		c.Care = drawCare(t, st, id.Draw(t, "member"))
	case 8:
		c.Adopt = drawAdoption(t, st)
	case 6:
		r := rapid.SampledFrom([]Agreement{AgreedUp, AgreedDown, AgreedParked, NotAgreed}).Draw(t, "agreement")
		c.Round = &RoundCommand{Term: st.Clock.Term + rapid.Uint64Range(0, 1).Draw(t, "term"), Number: st.Clock.Round + rapid.Uint64Range(0, 2).Draw(t, "number"),
			Streams: map[string]StreamRound{"EVENTS": {Agreement: r, Elapsed: time.Second, Members: st.Round.Members}}, Intervals: map[string]time.Duration{"EVENTS": time.Second}}
	}
	return c
}

// drawCare draws what a leader might say of the care of a member, mostly of one that is under way.
func drawCare(t *rapid.T, st StreamState, id MemberID) *CareCommand {
	now := st.Aftercare[id.String()]
	c := &CareCommand{Stream: "EVENTS", Member: id, Epoch: now.Epoch, Phase: now.Phase, By: "op",
		Kind:    rapid.SampledFrom([]CareKind{CareReturn, CareRepoint}).Draw(t, "care"),
		Outcome: rapid.SampledFrom([]Outcome{OutcomeDone, OutcomeDone, OutcomeBegin, OutcomeAsk, OutcomeAgain, OutcomeWaiting, "other"}).Draw(t, "outcome")}
	if now.Phase == "" {
		c.Epoch = st.Epoch
	}
	if rapid.Bool().Draw(t, "account") {
		c.Tail = &Tail{Messages: rapid.Uint64Range(0, 2).Draw(t, "messages")}
	}
	return c
}

// started is a state with a stream that has been seen down for long.
func started(t *testing.T) State {
	p := newPlay(t)
	p.oneRound(time.Second)
	for _, n := range []string{"wd-east", "wd-west", "wd-eu"} {
		p.says[n] = Timeout
	}
	p.rounds([]string{"6", "1s"})
	return p.state
}

// TestApplyIsTotalAndPure: whatever command comes, Apply takes or refuses it, leaves its argument alone, and comes to
// the same on a replica that was restored from a snapshot in between.
func TestApplyIsTotalAndPure(t *testing.T) {
	firsts := []State{started(t), cared(t), spared(t), sparedOnce(t)}
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.SampledFrom(firsts).Draw(t, "first")
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			c := drawCommand(t, s)
			before := encoded(t, s)
			next, err := Apply(s, c)
			if err != nil && !errors.Is(err, ErrRefused) {
				t.Fatalf("error %v is no refusal", err)
			}
			if after := encoded(t, s); after != before {
				t.Fatalf("Apply changed its argument:\n%s\n%s", before, after)
			}
			if err != nil {
				continue
			}
			restored, derr := DecodeState([]byte(before))
			if derr != nil {
				t.Fatal(derr)
			}
			same, rerr := Apply(restored, roundTrip(t, c))
			if rerr != nil || encoded(t, same) != encoded(t, next) {
				t.Fatalf("a restored replica differs (%v):\n%s\n%s", rerr, encoded(t, same), encoded(t, next))
			}
			s = next
		}
	})
}

// TestPromisesOfTheLog: no commands, in whatever order, begin without agreement, end an epoch twice, change the target of an
// epoch that has opened its promote, or delete what is not archived.
func TestPromisesOfTheLog(t *testing.T) {
	firsts := []State{started(t), cared(t), spared(t), sparedOnce(t)}
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.SampledFrom(firsts).Draw(t, "first")
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			c := drawCommand(t, s)
			next, err := Apply(s, c)
			if err != nil {
				continue
			}
			was, is := s.Streams["EVENTS"], next.Streams["EVENTS"]
			if was.Attempt == nil && is.Attempt != nil && (was.Round.Agreement != AgreedDown || is.Attempt.Epoch != was.Epoch+1) {
				t.Fatalf("begun on %q, epoch %d after %d", was.Round.Agreement, is.Attempt.Epoch, was.Epoch)
			}
			if a := was.Attempt; a != nil && a.PromoteOpened {
				if b := is.Attempt; b != nil && (b.Target != a.Target || b.Phase == PhaseAborting) {
					t.Fatalf("the promote of %s was opened; now %+v", a.Target, b)
				}
			}
			if c.Open != nil && c.Open.Write.Kind == WriteDelete && was.Attempt == nil {
				key := c.Open.Write.Member.String()
				if m := was.Members[key]; m.differs() && !m.Deleted && was.Aftercare[key].Tail == nil {
					t.Fatalf("%s may hold what %s does not, is not archived, and is to be deleted", key, was.Primary)
				}
			}
			if c.Spare != nil && c.Spare.Open != nil && c.Spare.Open.Kind == WriteUnspare && was.needsSpare(was.Spares[c.Spare.Spare.String()]) {
				t.Fatalf("%s is needed, and is to be deleted", c.Spare.Spare)
			}
			if c.Result != nil && (was.Attempt == nil || c.Result.Epoch != was.Attempt.Epoch || c.Result.Phase != was.Attempt.Phase) {
				t.Fatalf("a stale result was taken: %+v at %+v", c.Result, was.Attempt)
			}
			s = next
		}
	})
}

func encoded(t interface{ Fatal(...any) }, s State) string {
	b, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func roundTrip(t interface{ Fatal(...any) }, c Command) Command {
	b, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	d, err := DecodeCommand(b)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// cared is a state in the midst of what follows a failover: one member has rejoined and is being switched back to, another
// one is ahead of the new primary.
func cared(t *testing.T) State {
	p := newPlay(t)
	for line := range strings.Lines(`set domains=on repoint=auto rejoin=auto east/EVENTS.last_seq=1007 eu/E.last_seq=1003 promote-eu/E=never
round
set wd-east=timeout wd-west=timeout wd-eu=timeout east/EVENTS=timeout
rounds 6 1s
run
set wd-east=answered wd-west=answered wd-eu=answered east/EVENTS=back
round
repair east/EVENTS
reply ok
round
care east/EVENTS
ask east/EVENTS
care east/EVENTS
reply ok
care east/EVENTS
care east/EVENTS archive 7 1000
set repoint=report
rejoin east/EVENTS
set repoint=auto
round
care eu/E
care eu/E archive 3 1000
set east/EVENTS.active=200ms
round
switchover east 30s
ensure
ensure
reply ok
set running=31s
ensure`) {
		words := strings.Fields(line)
		p.do(words[0], words[1:])
	}
	return p.state
}

// TestPersistedForm pins the bytes of a state: a change of the format must be seen, and get a new version.
func TestPersistedForm(t *testing.T) {
	p := newPlay(t)
	s := started(t)
	b, err := json.MarshalIndent(map[string]any{"state": s, "afterwards": cared(t), "spares": spared(t), "command": Command{Version: FormatVersion, At: p.now, By: "wd-west",
		Hold: &HoldCommand{Stream: "EVENTS", Held: true, Version: 3, By: "op"}}}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	const file = "testdata/persisted.json"
	if *update {
		if err := os.WriteFile(file, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != string(b)+"\n" {
		t.Errorf("the persisted form has changed; with a new FormatVersion, -update rewrites %s", file)
	}
	if _, err := DecodeCommand([]byte(`{"version":99}`)); err == nil {
		t.Error("a command of another version was read")
	}
	if _, err := DecodeState([]byte(`{"version":99}`)); err == nil {
		t.Error("a state of another version was read")
	}
}
