package demo

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
)

// TestStoryText holds what people read of a story beyond the failover: the tail, the return, the way back, the accounts.
func TestStoryText(t *testing.T) {
	var out bytes.Buffer
	tell := newTeller(Options{Out: &out, Story: true})
	tell.ready("wd-east")
	storyScript(tell)
	for _, r := range []Result{
		{Outcome: SwitchedBack, Reason: "healthy", Promotions: 1, Acked: 5000, OnPrimary: 4898, Tail: 102, Salvaged: 102, ThresholdMS: 5000,
			OK: true, StoryResult: &StoryResult{Replayed: 103, DualCaptureMS: 981, SwitchoverGapMS: 64}},
		{Outcome: FailedOver, Reason: "suspect", Expected: "switched_back/healthy", Promotions: 1, Acked: 5000, OnPrimary: 4898, Tail: 100,
			Salvaged: 99, Lost: 2, Duplicates: 1, StoryResult: &StoryResult{Consumers: 1, Missed: 3, Redelivered: 41}},
	} {
		if err := tell.result(r, nil); err != nil {
			t.Error(err)
		}
	}
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > lineWidth {
			t.Errorf("%d columns, more than %d: %s", n, lineWidth, line)
		}
	}
	golden(t, "testdata/story.golden", out.Bytes())
}

// storyScript tells what follows a failover, through the watcher's own eyes.
func storyScript(tell *teller) {
	zero := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	at := func(ms int) time.Time { return zero.Add(time.Duration(ms) * time.Millisecond) }
	tell.chapter("1. The origin is lost, with messages that nobody else has")
	tell.at(at(-600), "FAULT", "fault", "east is cut off")
	tell.fault(zero, "site east is killed")
	w := &watcher{tell: tell, p: &publishers{}, s: &scene{}, verdicts: map[string]string{}, care: map[string]careOf{}, t: times{fault: zero}, lastAck: at(-590), moved: true}
	w.p.attempts = []attempt{{end: ackUnknown, at: at(20)}, {who: publisherCount, end: ackOK, stream: streamName, at: at(-10)}}
	w.lookAtPublishers()
	tell.chapter("2. The old origin returns")
	east, eu := policy.MemberID{Site: "east", Stream: "EVENTS"}, policy.MemberID{Site: "eu", Stream: "EVENTS_EU"}
	cares(w, east, eu, at)
	for i, e := range []policy.Entry{
		{Kind: "origin_returned", Reason: policy.Reason{Code: policy.DualCapture, Text: "east/EVENTS answers again with its old subjects, at sequence 808"}},
		{Kind: "origin_fenced", Reason: policy.Reason{Text: "east/EVENTS is parked; it took up to 76 messages since it was seen"}},
		{Kind: "aftercare_started", Reason: policy.Reason{Text: "told by the care"}},
		{Kind: "tail_salvaged", Reason: policy.Reason{Text: "told by the care"}},
		{Kind: "rejoined", Reason: policy.Reason{Text: "east/EVENTS is a mirror of eu/EVENTS_EU"}},
		{Kind: "switchover_started", Reason: policy.Reason{Text: "switching over from eu/EVENTS_EU to east/EVENTS (command of operator)"}},
		{Kind: "phase_done", Reason: policy.Reason{Text: "drain: east/EVENTS holds all up to sequence 2749"}},
		{Kind: "switchover_completed", Reason: policy.Reason{Text: "east/EVENTS is the primary now, with all messages of eu/EVENTS_EU"}},
		{Kind: "origin_returned", Reason: policy.Reason{Code: policy.Healthy, Text: "eu/EVENTS_EU answers again, and is parked"}},
	} {
		e.Seq, e.At = uint64(i+1), at(8000+i*1000)
		w.lookAtHistory([]policy.Entry{e})
	}
}

// cares shows a watcher the care of a returned origin and of a mirror, until both are over.
func cares(w *watcher, east, eu policy.MemberID, at func(int) time.Time) {
	step := func(p policy.Phase, ms int, text string) policy.StepRecord {
		return policy.StepRecord{Phase: p, Took: 70 * time.Millisecond, At: at(ms), Text: text}
	}
	back := policy.Aftercare{Member: east, Kind: policy.CareReturn, BeganAt: at(10_000), Phase: policy.PhaseSeal, Follow: eu}
	mirror := policy.Aftercare{Member: policy.MemberID{Site: "west", Stream: "EVENTS_W"}, Kind: policy.CareRepoint, BeganAt: at(7_000), Phase: policy.PhaseArchive}
	look := func(ms int, list ...policy.Aftercare) {
		s := api.StreamStatus{Primary: eu}
		for _, c := range list {
			s.Aftercare = append(s.Aftercare, api.CareStatus{Aftercare: c})
		}
		w.lookAtCare(s, at(ms))
	}
	look(7_100, mirror)
	look(10_050, back, mirror) // nothing is told twice
	back.Steps = []policy.StepRecord{step(policy.PhaseSeal, 10_100, "east/EVENTS is sealed at sequence 884"),
		step(policy.PhaseArchive, 10_200, "498 messages of east/EVENTS above sequence 386 are archived")}
	look(10_250, back)
	back.Phase, back.Steps = policy.PhaseCatchUp, append(back.Steps, step(policy.PhaseArchived, 10_201, "told by nobody"), step(policy.PhaseDelete, 10_300, "east/EVENTS is deleted"))
	look(11_000, back)
	look(12_100)
}
