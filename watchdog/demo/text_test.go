package demo

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/natslab"
)

// TestText holds what people read: a play told from a script, then the words for the other plays.
func TestText(t *testing.T) {
	var out bytes.Buffer
	tell := newTeller(Options{Out: &out})
	script(t, tell)
	for _, topology := range []natslab.Topology{natslab.Supercluster, natslab.TwoCluster} {
		tell.building(Options{Topology: topology, Servers: 3}.withDefaults())
	}
	for _, f := range Faults() {
		tell.say("", "%s", faultText(Options{Fault: f, Servers: 3, SpareLeader: true}.withDefaults()))
	}
	for _, r := range []Result{
		{Outcome: NoFailover, Reason: "blind", Acked: 500, OnPrimary: 500, ThresholdMS: 5000, OK: true},
		{Outcome: NoFailover, Reason: "origin_deleted", Fault: "delete", Acked: 500, ThresholdMS: 5000, OK: true},
		{Outcome: FailedOver, Reason: "healthy", Expected: "no_failover/blind", Promotions: 2, Acked: 500, OnPrimary: 495, Lost: 5},
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
	golden(t, "testdata/text.golden", out.Bytes())
}

// script plays a kill by hand, through the watcher's own eyes.
func script(t *testing.T, tell *teller) {
	o := Options{}.withDefaults()
	tell.building(o)
	tell.ready("wd-east")
	zero := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	tell.fault(zero, faultText(o))
	w := &watcher{tell: tell, p: &publishers{}, s: &scene{o: o}, verdicts: map[string]string{}, t: times{fault: zero}, lastAck: zero.Add(-time.Millisecond)}
	w.p.attempts = []attempt{
		{end: ackOK, stream: streamName, at: zero.Add(2 * time.Millisecond)},
		{end: ackFail, at: zero.Add(5 * time.Millisecond)},
	}
	w.lookAtPublishers()
	reason := policy.Reason{Code: policy.TooFewObservers, Text: "1 of 3 watchdogs see east/EVENTS down (wd-eu), 2 needed"}
	var list []policy.Entry
	for i, e := range []policy.Entry{
		{Kind: "origin_suspect", Reason: reason},
		{Kind: "decision", Reason: reason}, // said once
		{Kind: "origin_down", Reason: policy.Reason{Code: policy.ThresholdPending, Text: "2 of 3 watchdogs see east/EVENTS down: wd-east not_looked, wd-eu disconnected, wd-west disconnected"}},
		{Kind: "decision", Reason: policy.Reason{Code: policy.MirrorReceiving, Text: "eu/EVENTS_EU still receives from east/EVENTS"}},
		{Kind: "decision", Reason: policy.Reason{Code: policy.ThresholdPending}},
		{Kind: "failover_started", Reason: policy.Reason{Text: "failing over from east/EVENTS to eu/EVENTS_EU (threshold)"}},
		{Kind: "phase_done", Reason: policy.Reason{Text: "confirm: east/EVENTS is still down, eu/EVENTS_EU stands at sequence 206"}},
		{Kind: "phase_done", Reason: policy.Reason{Text: "bind: eu/EVENTS_EU holds events.>"}},
		{Kind: "failover_completed", Reason: policy.Reason{Text: "eu/EVENTS_EU is the primary now; at least 3 messages were left behind"}},
		{Kind: "decision", Reason: policy.Reason{Code: policy.Healthy, Text: "eu/EVENTS_EU answers"}},
	} {
		e.Seq, e.At = uint64(i+1), zero.Add(time.Second+time.Duration(i*i)*100*time.Millisecond)
		list = append(list, e)
	}
	w.lookAtHistory(list)
	w.lookAtHistory(list) // nothing is told twice
	w.p.attempts = append(w.p.attempts, attempt{end: ackOK, stream: "EVENTS_EU", at: zero.Add(8 * time.Second)})
	w.lookAtPublishers()
	r := Result{Outcome: FailedOver, Reason: "healthy", Promotions: 1, Acked: 1234, OnPrimary: 1230, Tail: 4, AtLeast: 3, OK: true}
	w.t.down = zero.Add(964 * time.Millisecond)
	r.setTimes(w.times(), o.After)
	if err := tell.result(r, nil); err != nil {
		t.Fatal(err)
	}
}

// TestVerdicts holds that a verdict is told when it changes, and only then.
func TestVerdicts(t *testing.T) {
	var out bytes.Buffer
	tell := newTeller(Options{Out: &out, JSON: true})
	tell.zero = time.Now()
	w := &watcher{tell: tell, verdicts: map[string]string{}}
	up := api.ObserverStatus{Node: "wd-eu", Verdict: policy.Up, Evidence: policy.Answered, Fresh: true}
	down := api.ObserverStatus{Node: "wd-eu", Verdict: policy.Down, Evidence: policy.Timeout, Fresh: true}
	blind := api.ObserverStatus{Node: "wd-eu", Verdict: policy.Unknown, Evidence: policy.AuthError, Fresh: true}
	silent := api.ObserverStatus{Node: "wd-eu", Verdict: policy.Unknown, Evidence: policy.NotLooked}
	for _, o := range []api.ObserverStatus{up, down, down, blind, silent, silent, up} {
		w.verdict(o)
	}
	tell.flush(time.Now().Add(time.Second))
	var got []string
	for line := range strings.Lines(out.String()) {
		var m Moment
		if err := json.Unmarshal([]byte(line), &m); err != nil || m.T == nil || m.Who == "" {
			t.Fatalf("%s: %v", line, err)
		}
		got = append(got, m.Text)
	}
	want := []string{"sees EVENTS down: no answer in time",
		"cannot tell: the site refuses the login, which says nothing of the stream",
		"wd-eu does not report: it does not count as seeing anything", "sees EVENTS up"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// TestTold checks that what is learned late is told in its place, without control characters.
func TestTold(t *testing.T) {
	var out bytes.Buffer
	tell := newTeller(Options{Out: &out})
	zero := time.Now()
	tell.zero = zero
	tell.at(zero.Add(2*time.Second), "b", "", "second\x1b[31m")
	tell.at(zero.Add(time.Second), "a", "", "first")
	tell.at(zero.Add(3*time.Second), "c", "", "third")
	tell.flush(zero.Add(2500 * time.Millisecond))
	const want = "  +1.000s  a           first\n  +2.000s  b           second [31m\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (-update rewrites it):\n%s", file, got)
	}
}
