package demo

import (
	"fmt"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
)

// stoppedAfter is how long no publisher must get an ack before publishing counts as stopped.
const stoppedAfter = 300 * time.Millisecond

// lookAtPublishers notices when publishing stops and goes on, outside of the origin's site.
func (w *watcher) lookAtPublishers() {
	list := w.p.since(w.attempts)
	w.attempts += len(list)
	for _, a := range list {
		switch {
		case a.who >= publisherCount:
		case a.end == ackOK:
			w.ack(a)
		case !a.cut:
			w.lastFailure = a
		}
	}
	if f := w.lastFailure; !w.stopped && f.at.After(w.lastAck) && time.Since(w.lastAck) > stoppedAfter {
		w.stopped = true
		why := "no answer in time"
		if f.end == ackFail {
			why = "nobody takes messages (no responders)"
		}
		text := "the last ack; from here on " + why
		if before := w.t.fault.Sub(w.lastAck); before > stoppedAfter {
			text = fmt.Sprintf("had their last ack %s before; since then %s", seconds(before), why)
		}
		w.tell.at(later(w.lastAck, w.t.fault), "publishers", "stopped", text)
	}
}

// ack keeps the longest time without any ack, which is the gap.
func (w *watcher) ack(a attempt) {
	if a.at.Before(w.lastAck) {
		return // another publisher's, recorded a moment later
	}
	gap := a.at.Sub(w.lastAck)
	if a.at.After(w.t.fault) && gap > w.t.firstAck.Sub(w.t.lastAck) {
		w.t.lastAck, w.t.firstAck = w.lastAck, a.at
	}
	if a.stream != streamName && w.t.newPrimaryAck.IsZero() {
		w.t.newPrimaryAck = a.at
	}
	if w.stopped {
		w.stopped, w.resumed = false, a.at
		w.tell.at(a.at, "publishers", "resumed", fmt.Sprintf("messages are acked again, by %s; nothing was acked for %s", a.stream, seconds(gap)))
	}
	w.lastAck = a.at
}

// times are those that have come. Publishing that never went on has no gap: it has an end.
func (w *watcher) times() times {
	w.lookAtPublishers()
	t := w.t
	if w.stopped {
		t.lastAck, t.firstAck = time.Time{}, time.Time{}
	}
	return t
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// lookAtGroup notices elections.
func (w *watcher) lookAtGroup(st api.Status) {
	old, since := w.last, w.lookedAt // it came between two looks
	w.last, w.lookedAt = st, time.Now()
	if since.Before(w.t.fault) {
		since = w.lookedAt // the first look since the fault: nobody knows when
	}
	switch {
	case st.Leader == old.Leader:
	case st.Leader == "":
		w.tell.at(since, "watchdogs", "no_leader", fmt.Sprintf("%s, the leader, is not heard any more: the others elect", old.Leader))
	default:
		w.tell.at(since, st.Leader, "leader", fmt.Sprintf("is the leader now, elected by a majority of the %d watchdogs (term %d)", len(st.Peers), st.Term))
	}
}

// lookAtStream notices verdicts and the outage clock.
func (w *watcher) lookAtStream(e api.StreamStatus) {
	if e.Reason.Code != w.stream.Reason.Code || e.State != w.stream.State {
		w.changed = time.Now()
	}
	w.stream = e
	for _, a := range []*policy.Attempt{e.Last, e.Attempt} {
		if a != nil {
			w.atLeast = a.Loss.AtLeast
		}
	}
	w.lookAtCare(e, time.Now())
	if w.moved = w.moved || e.Primary.Site != origin; w.moved {
		return
	}
	for _, o := range e.Observers {
		w.verdict(o)
	}
	w.clock(e)
}

func (w *watcher) verdict(o api.ObserverStatus) {
	if o.AgeMS < 0 {
		return // without the leader's view nobody knows who reports
	}
	is := string(o.Verdict)
	if !o.Fresh || o.Evidence == policy.NotLooked {
		is = "silent"
	}
	was := w.verdicts[o.Node]
	if was == "" {
		was = string(policy.Up) // it was, before the fault
	}
	w.verdicts[o.Node] = is
	if is == was {
		return
	}
	at := time.Now().Add(-time.Duration(o.AgeMS) * time.Millisecond)
	switch {
	case is == "silent":
		w.tell.now("watchdogs", "silent", o.Node+" does not report: it does not count as seeing anything")
	case o.Verdict == policy.Down:
		w.sawDown(at)
		w.tell.at(at, o.Node, "verdict", fmt.Sprintf("sees %s down: %s", streamName, evidence(o.Evidence)))
	case o.Verdict == policy.Up:
		w.tell.at(at, o.Node, "verdict", fmt.Sprintf("sees %s up", streamName))
	default:
		w.tell.at(at, o.Node, "verdict", fmt.Sprintf("cannot tell: %s", evidence(o.Evidence)))
	}
}

// sawDown keeps the first verdict down: the status may tell of it later than the log.
func (w *watcher) sawDown(at time.Time) {
	if w.t.down.IsZero() || at.Before(w.t.down) {
		w.t.down = at
	}
}

// clock tells every whole second of witnessed outage.
func (w *watcher) clock(e api.StreamStatus) {
	whole := e.OutageMS / 1000
	if whole < w.clockTold { // it was set back
		w.tell.now("watchdogs", "clock", "the outage clock is back at 0")
	} else if whole > w.clockTold && e.OutageMS < e.ThresholdMS {
		w.tell.now("watchdogs", "clock", fmt.Sprintf("outage clock %s of %s %s", seconds(time.Duration(e.OutageMS)*time.Millisecond),
			seconds(time.Duration(e.ThresholdMS)*time.Millisecond), bar(e.OutageMS, e.ThresholdMS)))
	}
	w.clockTold = whole
	late := e.OutageMS >= e.ThresholdMS && e.Reason.Code == policy.ThresholdPending
	if late && !w.late {
		w.tell.now("watchdogs", "clock", "the threshold has passed, but "+e.Reason.Text)
	}
	w.late = late
}

func bar(n, of int64) string {
	const width = 20
	full := int(min(n*width/max(of, 1), width))
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", width-full) + "]"
}

// lookAtHistory tells the new entries of the watchdogs' log.
func (w *watcher) lookAtHistory(list []policy.Entry) {
	for _, e := range list {
		if e.Seq <= w.seen {
			continue
		}
		w.seen = e.Seq
		if text := w.entry(e); text != "" {
			w.tell.at(e.At, "watchdogs", e.Kind, text)
		}
	}
}

// entry says one entry in plain words, "" for what another line says already.
func (w *watcher) entry(e policy.Entry) string {
	switch e.Kind {
	case "origin_down":
		w.sawDown(e.At)
		return "AGREED DOWN, the outage clock runs: " + e.Reason.Text
	case "origin_suspect":
		w.reason = e.Reason
		return fmt.Sprintf("not agreed (%s), the outage clock stands: %s", e.Reason.Code, e.Reason.Text)
	case "origin_recovered":
		return "the origin is up again: " + e.Reason.Text
	case "decision":
		switch e.Reason.Code {
		case policy.ThresholdPending, policy.InProgress:
			return "" // the clock and the start of the failover tell it
		case policy.Healthy:
			return "all is well: " + e.Reason.Text
		}
		if e.Reason == w.reason {
			return "" // said with the verdicts
		}
		return fmt.Sprintf("no failover now (%s): %s", e.Reason.Code, e.Reason.Text)
	case "failover_started":
		w.t.begun, w.phaseAt = e.At, e.At
		return "DECIDED, and logged before anything is written: " + e.Reason.Text
	case "phase_done":
		return w.phase(e)
	case "failover_completed":
		return "FAILED OVER: " + e.Reason.Text
	case "switchover_started":
		w.phaseAt = e.At
		return "LOGGED before anything is written: " + e.Reason.Text
	case "switchover_completed":
		return "SWITCHED OVER: " + e.Reason.Text
	case "origin_returned":
		if e.Reason.Code == policy.DualCapture {
			return "THE OLD ORIGIN IS BACK: " + e.Reason.Text
		}
		return "the former primary: " + e.Reason.Text
	case "origin_fenced":
		return "FENCED: " + e.Reason.Text
	case "aftercare_started", "tail_salvaged":
		return "" // lookAtCare tells it
	case "rejoined":
		return "REJOINED: " + e.Reason.Text
	case "waiting":
		w.reason = e.Reason
		return fmt.Sprintf("waits (%s): %s", e.Reason.Code, e.Reason.Text)
	}
	return strings.ReplaceAll(e.Kind, "_", " ") + ": " + e.Reason.Text
}

func (w *watcher) phase(e policy.Entry) string {
	name, text, _ := strings.Cut(e.Reason.Text, ": ")
	took := w.took(e.Epoch, policy.Phase(name), e.At.Sub(w.phaseAt))
	w.phaseAt = e.At
	if policy.Phase(name) == policy.PhaseBind && w.t.bound.IsZero() {
		w.t.bound = e.At
	}
	return phaseText(name, took, text)
}

// took is how long a phase took by the log, which may take the ends of several at once; else since is as good.
func (w *watcher) took(epoch uint64, phase policy.Phase, since time.Duration) time.Duration {
	for _, a := range []*policy.Attempt{w.stream.Attempt, w.stream.Last} {
		if a == nil || a.Epoch != epoch {
			continue
		}
		for _, s := range a.Steps {
			if s.Phase == phase {
				return s.Took
			}
		}
	}
	return since
}

func phaseText(name string, took time.Duration, text string) string {
	return fmt.Sprintf("%-9s done in %4d ms: %s", name, took.Milliseconds(), text)
}

// evidence is what was met, in plain words.
func evidence(e policy.Evidence) string {
	words := map[policy.Evidence]string{
		policy.NoResponders:     "nobody serves it there",
		policy.Timeout:          "no answer in time",
		policy.Disconnected:     "its site cannot be reached",
		policy.Offline:          "NATS knows its servers to be offline",
		policy.NoLeader:         "it has no leader",
		policy.AuthError:        "the site refuses the login, which says nothing of the stream",
		policy.PermissionDenied: "the login may not ask",
		policy.MetaUnavailable:  "the meta group has no quorum, so NATS says nothing of any stream",
		policy.Isolated:         "it reaches no site at all: the fault may be its own",
		policy.NotFound:         "the stream was deleted",
		policy.NotLooked:        "it has not looked lately",
	}
	if text := words[e]; text != "" {
		return text
	}
	return string(e)
}

// seconds writes a duration with one digit.
func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
