package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
)

var update = flag.Bool("update", false, "rewrite testdata/pages")

// TestPages holds what people read: `status` and `why` of one situation a file.
func TestPages(t *testing.T) {
	for name, s := range situations() {
		t.Run(name, func(t *testing.T) {
			got := statusPage(s, false, false) + "\n---- why\n" + whyPage(s, s.Streams[0], false)
			for line := range strings.Lines(got) {
				if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > pageWidth {
					t.Errorf("a line of %d characters: %s", n, line)
				}
			}
			golden(t, filepath.Join("testdata", "pages", name+".txt"), got)
		})
	}
}

// adoption is one with everything to tell.
var adoption = policy.Adoption{Primary: west, Epoch: 3, Ends: "failover 2", Closed: []policy.WriteID{"2.park.1", "2.unpark.2"}, Members: []policy.Adopted{
	{ID: east, Role: policy.RoleRetired, Text: "is not seen (timeout); it was the primary, and will be parked when it answers"},
	{ID: policy.MemberID{Site: "eu", Stream: "EVENTS_EU"}, Role: policy.RoleForgotten, Text: "was deleted; it is forgotten until it comes back"},
	{ID: west, Role: policy.RolePrimary, Text: "holds events.>"},
}}

// TestAdoptionPage holds what `adopt` prints, with and without --dry-run.
func TestAdoptionPage(t *testing.T) {
	got := ""
	for _, dry := range []bool{true, false} {
		got += adoptionPage(api.Request{Stream: "EVENTS", DryRun: dry}, adoption) + "\n"
	}
	golden(t, filepath.Join("testdata", "pages", "adoption.txt"), got)
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

var (
	east = policy.MemberID{Site: "east", Stream: "EVENTS"}
	west = policy.MemberID{Site: "west", Stream: "EVENTS_W"}
	noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

// situations are those in which somebody looks.
func situations() map[string]api.Status {
	healthy := group(healthyStream("EVENTS"))

	pending := downStream(63_000, policy.ThresholdPending, "east/EVENTS has been down for 1m3s of 2m0s: wd-east timeout, wd-west timeout")
	pending.Observers[2] = api.ObserverStatus{Node: "wd-eu", Site: "eu", Verdict: policy.Unknown, Evidence: policy.NotLooked, AgeMS: -1}

	loss := downStream(130_000, policy.LossOverLimit, "west/EVENTS_W lacks at least 12000 messages (estimated 12400), the limit is 10000")
	loss.Loss, loss.WouldHave, loss.Mode = policy.Loss{AtLeast: 12000, Estimated: 12400, Known: true}, 1, policy.ModeAlertOnly
	loss.Members[2].Eligible, loss.Members[2].Reason, loss.Members[2].Text = false, "filtered", "it holds only events.eu.>"

	changed := downStream(7_000, policy.ChangedOutside, "west/EVENTS_W should be a mirror, but is bound to events.>, and not by a write of ours; "+
		"undo that, or take it over: `understudy adopt EVENTS`")
	changed.Members[1].Eligible, changed.Members[1].Reason, changed.Members[1].Text = false, "wrong_upstream", "it is not a mirror of east/EVENTS"

	fenced := downStream(63_000, policy.ThresholdPending, "east/EVENTS has been down for 1m3s of 2m0s: wd-east timeout, wd-west timeout")
	fenced.Epoch, fenced.Phase = 1, policy.PhaseFenced
	fenced.Attempt = &policy.Attempt{Epoch: 1, Kind: policy.KindFence, Phase: policy.PhaseFenced, From: east, Target: west, By: "wd-east", Trigger: "fence.after",
		BeganAt: noon, Waiting: policy.Reason{Code: policy.ThresholdPending, Text: "east/EVENTS is parked ahead of the threshold; it gets its subjects back if it answers before"},
		Steps: []policy.StepRecord{{Phase: policy.PhaseFence, Took: 8 * time.Millisecond, Text: "east/EVENTS has released events.>"}}}

	blind := downStream(0, policy.Blind, "no watchdog can tell how east/EVENTS is: wd-east auth_error, wd-west auth_error, wd-eu auth_error")
	blind.State = api.StateUnknown
	for i := range blind.Observers {
		o := &blind.Observers[i]
		o.Verdict, o.Evidence, o.Detail = policy.Unknown, policy.AuthError, "nats: Authorization Violation\x1b[2J"
	}
	lost := group(blind)
	lost.Leader, lost.Quorum, lost.Held, lost.HeldBy = "", false, true, "alice"
	lost.Peers[0].Leader, lost.Peers[2].Fresh, lost.Peers[1].ConfigHash = false, false, "ffff"

	return map[string]api.Status{
		"healthy": healthy, "pending": group(pending), "changed": group(changed), "fenced": group(fenced), "loss": group(loss), "lost": lost,
		"running": group(runningStream()), "returned": group(returnedStream()), "spare": group(spareStream()), "many": group(append([]api.StreamStatus{loss}, many()...)...),
	}
}

func group(streams ...api.StreamStatus) api.Status {
	return api.Status{Node: "wd-west", Leader: "wd-east", Term: 4, Quorum: true, Hash: "abcd", Version: "1.0", Streams: streams,
		Peers: []api.PeerStatus{{Node: "wd-east", Site: "east", Leader: true, Fresh: true, ConfigHash: "abcd"},
			{Node: "wd-west", Site: "west", Fresh: true, ConfigHash: "abcd"}, {Node: "wd-eu", Site: "eu", Fresh: true}}}
}

func healthyStream(name string) api.StreamStatus {
	s := api.StreamStatus{Name: name, State: api.StateHealthy, Mode: policy.ModeUnattended, ThresholdMS: 120_000, LossLimit: 10_000,
		Primary: policy.MemberID{Site: "east", Stream: name}, Reason: policy.Reason{Code: policy.Healthy, Text: "east/" + name + " answers"},
		Loss: policy.Loss{Known: true}}
	for i, site := range []string{"east", "west", "eu"} {
		s.Observers = append(s.Observers, api.ObserverStatus{Node: "wd-" + site, Site: site, Verdict: policy.Up, Evidence: policy.Answered,
			Via: "east", AgeMS: int64(200 + 150*i), Fresh: true})
	}
	s.Members = []api.MemberStatus{
		{Site: "east", Stream: name, Role: "primary", Evidence: policy.Answered, LastSeq: 123456, Messages: 100000, ActiveMS: -1},
		{Site: "west", Stream: name + "_W", Role: "mirror", Evidence: policy.Answered, LastSeq: 123456, ActiveMS: 220, Eligible: true,
			Reason: "eligible", Text: "a whole, direct mirror"},
		{Site: "eu", Stream: name + "_EU", Role: "mirror", Evidence: policy.Answered, LastSeq: 123450, Behind: 6, ActiveMS: 1900, Eligible: true,
			Reason: "eligible", Text: "a whole, direct mirror"},
	}
	return s
}

func downStream(outageMS int64, code policy.Code, text string) api.StreamStatus {
	s := healthyStream("EVENTS")
	s.State, s.OutageMS, s.Reason = api.StateDown, outageMS, policy.Reason{Code: code, Text: text}
	if outageMS < s.ThresholdMS {
		s.State = api.StateSuspect
	}
	for i := range s.Observers {
		s.Observers[i].Verdict, s.Observers[i].Evidence = policy.Down, policy.Timeout
	}
	s.Members[0].Evidence = policy.Timeout
	return s
}

func runningStream() api.StreamStatus {
	s := downStream(121_000, policy.TargetUnreachable, "this leader does not reach west/EVENTS_W (timeout)")
	s.State, s.Epoch, s.Phase, s.Target = api.StateFailingOver, 3, policy.PhasePromote, &west
	s.OpenWrites = []policy.WriteID{"3.park.1", "3.promote.2"}
	s.Attempt = &policy.Attempt{Epoch: 3, Kind: "failover", Phase: policy.PhasePromote, From: east, Target: west, Trigger: "threshold", By: "wd-eu",
		Loss: policy.Loss{AtLeast: 5, Estimated: 9, Known: true}, Waiting: s.Reason, Tries: 4, BeganAt: noon, PromoteOpened: true,
		Steps: []policy.StepRecord{{Phase: policy.PhaseConfirm, Took: 40 * time.Millisecond, Text: "east/EVENTS is still down"},
			{Phase: policy.PhaseFence, Took: 2100 * time.Millisecond, Text: "east/EVENTS has released events.>"}}}
	return s
}

// spareStream has failed over, and its only other mirror is made anew beside a spare copy.
func spareStream() api.StreamStatus {
	s := returnedStream()
	s.State, s.Reason, s.DualCapture = api.StateRejoining, policy.Reason{Code: policy.Healthy, Text: "west/EVENTS_W answers"}, nil
	eu := policy.MemberID{Site: "eu", Stream: "EVENTS_EU"}
	s.Aftercare = []api.CareStatus{{Aftercare: policy.Aftercare{Member: eu, Kind: policy.CareRepoint, Epoch: 3, Phase: policy.PhaseDelete,
		Waiting: policy.Reason{Code: policy.InProgress, Text: "eu/EVENTS_EU is the only other copy of west/EVENTS_W: eu/EVENTS_EU_SPARE_3_7, a spare one, is catching up first"}}}}
	s.Spares = []policy.Spare{{ID: policy.MemberID{Site: "eu", Stream: "EVENTS_EU_SPARE_3_7"}, For: eu, Follow: west,
		Waiting: policy.Reason{Code: policy.InProgress, Text: "a spare copy of west/EVENTS_W, which is deleted when eu/EVENTS_EU is one"}}}
	return s
}

// returnedStream has failed over, and its old origin came back with its subjects.
func returnedStream() api.StreamStatus {
	s := healthyStream("EVENTS")
	s.State, s.Epoch, s.Primary, s.Reason = api.StateReturned, 3, west, policy.Reason{Code: policy.DualCapture,
		Text: "east/EVENTS should be parked on $devnull.east.EVENTS, but is bound to events.>"}
	s.Members[0], s.Members[1] = s.Members[1], s.Members[0]
	s.Members[0].Role, s.Members[0].Eligible, s.Members[0].Reason = "primary", false, ""
	s.Members[1].Role, s.Members[1].Reason, s.Members[1].Text = "retired", "wrong_upstream", "it was the primary until failover 3"
	s.Last = &policy.Attempt{Epoch: 3, Kind: policy.KindFailover, From: east, Target: west, Phase: policy.PhaseDone, EndedAt: noon.Add(5 * time.Second)}
	s.DualCapture = []policy.Capture{{Member: east, Epoch: 3, SeenAt: noon, Fenced: noon.Add(1500 * time.Millisecond), FromSeq: 20, ToSeq: 27},
		{Member: east, Epoch: 3, SeenAt: noon.Add(time.Hour), FromSeq: 27},
		{Member: east, Epoch: 2, Fenced: noon, Stored: &policy.Stored{Messages: 7, First: 12, Last: 18, FirstAt: noon.Add(-2 * time.Second), LastAt: noon}},
		{Member: east, Epoch: 1, SeenAt: noon, Fenced: noon.Add(time.Second), Stored: &policy.Stored{}}}
	return s
}

// many are more streams than fit a screen in full, one with the longest names there are.
func many() []api.StreamStatus {
	var list []api.StreamStatus
	for i := range 6 {
		list = append(list, healthyStream(fmt.Sprintf("ORDERS_%d", i)))
	}
	return append(list, healthyStream(strings.Repeat("LONG-NAME_", 6)))
}

func TestPageIsPaintedForATerminalOnly(t *testing.T) {
	s := group(healthyStream("EVENTS"))
	plain, painted := statusPage(s, false, false), statusPage(s, true, false)
	if strings.Contains(plain, "\x1b") {
		t.Error("the plain page has colours")
	}
	if without := regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(painted, ""); without != plain || painted == plain {
		t.Errorf("painted, it says something else:\n%s", without)
	}
}

// TestServersWordsCannotSteerTheTerminal shows an answer that tries to.
func TestServersWordsCannotSteerTheTerminal(t *testing.T) {
	s := situations()["lost"]
	if page := statusPage(s, false, true) + whyPage(s, s.Streams[0], false); strings.Contains(page, "\x1b") {
		t.Errorf("an escape got through:\n%q", page)
	}
}

// TestEveryCodeHasAGateAndAdvice reads the codes from the policy's source, so that a new one is not forgotten here.
func TestEveryCodeHasAGateAndAdvice(t *testing.T) {
	src, err := os.ReadFile("../../policy/reason.go")
	if err != nil {
		t.Fatal(err)
	}
	list, _, _ := strings.Cut(string(src), "The reason codes of a candidate")
	codes := regexp.MustCompile(`Code = "([a-z_]+)"`).FindAllStringSubmatch(list, -1)
	if len(codes) < 30 {
		t.Fatalf("only %d codes found", len(codes))
	}
	ungated := map[policy.Code]bool{policy.NoQuorum: true, policy.TargetUnreachable: true, policy.InProgress: true}
	for _, m := range codes {
		code := policy.Code(m[1])
		if advice(code) == "" {
			t.Errorf("%s: no advice", code)
		}
		if _, ok := stoppedAt(api.StreamStatus{Reason: policy.Reason{Code: code}}); ok == ungated[code] {
			t.Errorf("%s: a gate of its own %t, want %t", code, ok, !ungated[code])
		}
	}
}

// TestGateOfMetaQuorum tells apart the two gates that share a code.
func TestGateOfMetaQuorum(t *testing.T) {
	s := api.StreamStatus{Reason: policy.Reason{Code: policy.MetaQuorumLost}}
	if i, _ := stoppedAt(s); gates()[i].name != "a candidate's meta group has a quorum" {
		t.Errorf("stopped at %q", gates()[i].name)
	}
	s.Observers = []api.ObserverStatus{{Evidence: policy.MetaUnavailable}}
	if i, _ := stoppedAt(s); gates()[i].name != "the watchdogs agree that the primary is down" {
		t.Errorf("stopped at %q", gates()[i].name)
	}
}

func TestSpan(t *testing.T) {
	for in, want := range map[time.Duration]string{
		0: "0s", 400 * time.Millisecond: "400ms", 2540 * time.Millisecond: "2.5s", 63 * time.Second: "1m3s", 2 * time.Minute: "2m",
		time.Hour: "1h", 2*time.Hour + 5*time.Minute + 7*time.Second: "2h5m", 76 * time.Hour: "3d4h", 10 * time.Minute: "10m",
	} {
		if got := span(in); got != want {
			t.Errorf("span(%v) = %q, want %q", in, got, want)
		}
	}
	if got := millis(-1); got != "-" {
		t.Errorf("unknown is %q", got)
	}
}
