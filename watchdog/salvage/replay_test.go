package salvage_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/understudy-ha/understudy/watchdog/salvage"
)

// tiny makes the primary forget ids at once.
func (p *pair) tiny() {
	p.update("NEW", func(c map[string]any) { c["duplicate_window"] = 100_000_000 })
}

func (p *pair) forget() { time.Sleep(200 * time.Millisecond) } // the window's own time has to pass

func (p *pair) replayJob() salvage.ReplayJob {
	return salvage.ReplayJob{Archive: salvage.Side{Site: p.new.Site, Stream: salvage.StreamName("EVENTS", 3, "")}, Primary: p.new}
}

func (p *pair) replay(edit ...func(*salvage.ReplayJob)) salvage.Replayed {
	p.tb.Helper()
	j := p.replayJob()
	for _, f := range edit {
		f(&j)
	}
	got, err := salvage.Replay(p.ctx, j)
	p.must(nil, err)
	return got
}

func check(t *testing.T, what string, got, want salvage.Replayed) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: %+v, want %+v", what, got, want)
	}
}

// mixed is a pair whose tail has 20 messages with ids, 5 of which were retried, and 6 that nothing tells apart, 2 of
// which the primary got, too.
func mixed(t *testing.T) *pair {
	p := newPair(t)
	p.publish("b", 10)
	p.promote()
	p.publish("t", 20)
	for range 6 {
		p.send(&nats.Msg{Subject: "o.ping", Data: []byte("ping")})
	}
	p.switchOver()
	p.tiny()
	p.publish("t", 5)
	for range 2 {
		p.send(&nats.Msg{Subject: "o.ping", Data: []byte("ping")})
	}
	p.archive()
	return p
}

func TestReplayAgainAndAgain(t *testing.T) {
	p := mixed(t)
	j := func(j *salvage.ReplayJob) { j.DryRun = true }
	check(t, "dry run", p.replay(j), salvage.Replayed{Replayed: 19, OnPrimary: 7})
	if n := p.state("NEW").Msgs; n != 17 {
		t.Fatalf("a dry run published: %d", n)
	}
	check(t, "first", p.replay(), salvage.Replayed{Replayed: 19, OnPrimary: 7})
	p.complete()
	p.forget()
	check(t, "second", p.replay(), salvage.Replayed{Already: 19, OnPrimary: 7})
	p.forgetReplays() // as if it had ended before it wrote them down
	check(t, "third", p.replay(), salvage.Replayed{Already: 19, OnPrimary: 7})
	p.complete()
	p.purge("NEW", 1000)
	check(t, "after the primary lost all", p.replay(), salvage.Replayed{Already: 19, OnPrimary: 7})
	if n := p.state("NEW").Msgs; n != 0 {
		t.Errorf("%d messages came back that the primary had removed", n)
	}
}

// complete checks that the primary holds everything exactly once, with its own headers.
func (p *pair) complete() {
	p.tb.Helper()
	ids, pings := map[string]int{}, 0
	for _, m := range stored(p, "NEW") {
		if m.Subject == "o.ping" {
			pings++
			continue
		}
		ids[m.Header.Get(nats.MsgIdHdr)]++
		if want := m.Header.Get(nats.MsgIdHdr); string(m.Data) != want {
			p.tb.Errorf("%q under the id %q", m.Data, want)
		}
	}
	for id, n := range ids {
		if n != 1 {
			p.tb.Errorf("%s: %d times", id, n)
		}
	}
	if len(ids) != 30 || pings != 6 {
		p.tb.Errorf("%d ids and %d pings, want 30 and 6", len(ids), pings)
	}
}

func (p *pair) forgetReplays() {
	p.update(salvage.StreamName("EVENTS", 3, ""), func(c map[string]any) {
		delete(c["metadata"].(map[string]any), "understudy.salvage.replayed")
	})
}

// TestReplayBesideItself has many replays at once, while the publishers retry.
func TestReplayBesideItself(t *testing.T) {
	p := newPair(t)
	p.publish("b", 10)
	p.promote()
	p.publish("t", 1500)
	p.switchOver()
	p.archive()
	p.update("NEW", func(c map[string]any) { c["duplicate_window"] = 2 * time.Second }) // less than all of it takes
	var wg sync.WaitGroup
	for range 3 {
		j := p.replayJob()
		j.Primary, j.Rate = p.side("NEW"), 500
		wg.Go(func() {
			if _, err := salvage.Replay(p.ctx, j); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Go(func() { p.publish("t", 1500) })
	wg.Wait()
	ids := map[string]int{}
	for _, m := range stored(p, "NEW") {
		ids[string(m.Data)]++
	}
	if n := p.state("NEW").Msgs; n != 1510 || len(ids) != 1510 {
		t.Errorf("%d messages, %d of them different; want 1510", n, len(ids))
	}
}

func TestReplayOfASubject(t *testing.T) {
	p := newPair(t)
	p.promote()
	for _, s := range []string{"o.a.1", "o.a.2", "o.b.1", "o.a"} {
		p.send(&nats.Msg{Subject: s})
	}
	p.switchOver()
	p.archive()
	subject := func(s string) func(*salvage.ReplayJob) {
		return func(j *salvage.ReplayJob) { j.Subject = s }
	}
	check(t, "o.a.*", p.replay(subject("o.a.*")), salvage.Replayed{Replayed: 2, Filtered: 2})
	check(t, "o.*.1", p.replay(subject("o.*.1")), salvage.Replayed{Already: 2, Replayed: 1, Filtered: 1})
	check(t, "o.>", p.replay(subject("o.>")), salvage.Replayed{Already: 3, Replayed: 1})
	check(t, "all", p.replay(), salvage.Replayed{Already: 4})
	for _, bad := range []string{"o..a", "o.>.a", "o. a", "."} {
		j := p.replayJob()
		if j.Subject = bad; bad != "" {
			if _, err := salvage.Replay(p.ctx, j); err == nil || !strings.Contains(err.Error(), "filter") {
				t.Errorf("%q: %v", bad, err)
			}
		}
	}
}

func TestReplayKeepsHeadersButThoseThatWouldAct(t *testing.T) {
	p := newPair(t)
	p.promote()
	p.send(&nats.Msg{Subject: "o.x", Data: []byte("1"), Header: nats.Header{
		nats.ExpectedStreamHdr: {"OLD"}, nats.ExpectedLastSeqHdr: {"0"}, nats.MsgRollup: {"sub"}, "Nats-TTL": {"1h"}, "A": {"1", "2"}}})
	p.switchOver()
	p.send(&nats.Msg{Subject: "o.x", Data: []byte("2")})
	p.archive()
	check(t, "replay", p.replay(), salvage.Replayed{Replayed: 1})
	got := stored(p, "NEW")
	if len(got) != 2 {
		t.Fatalf("%d messages on the primary, want 2: a rollup was replayed", len(got))
	}
	at := entries(p)[0].Time
	want := nats.Header{"Nats-TTL": {"1h"}, "A": {"1", "2"}, nats.MsgIdHdr: {fmt.Sprintf("understudy-EVENTS-3-1-%d", at.UnixNano())},
		"Understudy-Salvage": {"EVENTS/3/1"}, "Understudy-Origin-Time": {at.Format(time.RFC3339Nano)}}
	if h := got[2].Header; !equalHeaders(h, want) {
		t.Errorf("headers %v, want %v", h, want)
	}
}

// TestReplayOntoAFullStream is about a primary that takes no more consumers.
func TestReplayOntoAFullStream(t *testing.T) {
	p := newPair(t, func(c *jetstream.StreamConfig) { c.MaxConsumers = 1 })
	p.publish("b", 10)
	p.promote()
	p.must(p.js.CreateConsumer(p.ctx, "NEW", jetstream.ConsumerConfig{Durable: "D"}))
	p.publish("t", 5)
	p.switchOver()
	p.publish("t", 2)
	if got := p.archive(); got.OnPrimary != 2 {
		t.Errorf("%+v", got)
	}
	check(t, "first", p.replay(), salvage.Replayed{Replayed: 3, OnPrimary: 2})
	p.forgetReplays()
	check(t, "second", p.replay(), salvage.Replayed{Already: 3, OnPrimary: 2})
}

// TestReplayOfTwoArchivesOfOneFailover is about a mirror that had followed the old origin further than the new primary:
// what both archives hold is replayed once.
func TestReplayOfTwoArchivesOfOneFailover(t *testing.T) {
	p := newPair(t)
	p.publish("b", 10)
	p.promote()
	for range 3 {
		p.send(&nats.Msg{Subject: "o.ping", Data: []byte("ping")})
	}
	p.must(p.js.CreateStream(p.ctx, jetstream.StreamConfig{Name: "SIBLING", Mirror: &jetstream.StreamSource{Name: "OLD"}}))
	for p.last("SIBLING") != 13 {
		time.Sleep(2 * time.Millisecond)
		p.must(nil, p.ctx.Err())
	}
	p.update("SIBLING", func(c map[string]any) { delete(c, "mirror"); c["subjects"] = []string{"$devnull.SIBLING"} })
	p.publish("t", 2)
	p.switchOver()
	p.tiny()
	p.archive()
	job := p.job()
	job.Old, job.Of = p.side("SIBLING"), "eu"
	got, err := salvage.Archive(p.ctx, job)
	if err != nil || got.Messages != 3 || got.Stream != "UNDERSTUDY_SALVAGE_EVENTS_3_eu" {
		t.Fatalf("%+v, %v", got, err)
	}
	check(t, "the former primary's", p.replay(), salvage.Replayed{Replayed: 5})
	p.forget()
	sibling := func(j *salvage.ReplayJob) { j.Archive.Stream = got.Stream }
	check(t, "the mirror's", p.replay(sibling), salvage.Replayed{Already: 3})
}

// TestReplayOntoLatestValues is about a stream that keeps the last message of each subject, as a bucket does.
func TestReplayOntoLatestValues(t *testing.T) {
	p := newPair(t, func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 })
	set := func(k, v string) { p.send(&nats.Msg{Subject: "o." + k, Data: []byte(v)}) }
	set("a", "0")
	set("b", "0")
	set("c", "0")
	p.promote()
	set("a", "1")
	set("b", "1")
	set("b", "2") // b=1 is gone then
	set("d", "1")
	set("e", "1")
	p.switchOver()
	set("a", "9") // newer than a=1
	set("e", "1") // the very same
	p.archive()
	check(t, "first", p.replay(), salvage.Replayed{Replayed: 2, OnPrimary: 1, Superseded: 1})
	p.forgetReplays()
	check(t, "second", p.replay(), salvage.Replayed{Already: 2, OnPrimary: 1, Superseded: 1})
	set("d", "2")
	p.forgetReplays()
	check(t, "overwritten since", p.replay(), salvage.Replayed{Already: 1, OnPrimary: 1, Superseded: 2})
	values := map[string]string{}
	for _, m := range stored(p, "NEW") {
		values[m.Subject] = string(m.Data)
	}
	if want := map[string]string{"o.a": "9", "o.b": "2", "o.c": "0", "o.d": "2", "o.e": "1"}; fmt.Sprint(values) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", values, want)
	}
}

func TestReplayRate(t *testing.T) {
	p := parted(t, 21)
	p.archive()
	began := time.Now()
	check(t, "replay", p.replay(func(j *salvage.ReplayJob) { j.Rate = 40 }), salvage.Replayed{Replayed: 21})
	if took := time.Since(began); took < 490*time.Millisecond {
		t.Errorf("21 messages at 40 a second took %v", took)
	}
}

func TestReplayThatIsRefused(t *testing.T) {
	p := parted(t, 3)
	p.archive()
	p.update("NEW", func(c map[string]any) { c["max_msg_size"] = 10 })
	got := p.replay()
	if got.Failed != 3 || len(got.Errors) != 3 || !strings.Contains(got.Errors[0], "message size exceeds") {
		t.Errorf("%+v", got)
	}
	p.update("NEW", func(c map[string]any) { c["max_msg_size"], c["subjects"] = -1, []string{"elsewhere"} })
	if _, err := salvage.Replay(p.ctx, p.replayJob()); err == nil || !strings.Contains(err.Error(), "no responders") {
		t.Errorf("no stream holds the subjects, but: %v", err)
	}
	p.must(p.js.CreateStream(p.ctx, jetstream.StreamConfig{Name: "OTHER", Subjects: []string{"o.>"}}))
	if _, err := salvage.Replay(p.ctx, p.replayJob()); err == nil || !strings.Contains(err.Error(), `"OTHER"`) {
		t.Errorf("another stream holds the subjects, but: %v", err)
	}
}

func TestListShowExportDrop(t *testing.T) {
	p := mixed(t)
	p.must(p.js.CreateStream(p.ctx, jetstream.StreamConfig{Name: "UNDERSTUDY_SALVAGE_FAKE_1", Subjects: []string{"understudy.salvage.FAKE.1"}}))
	found, err := salvage.List(p.ctx, p.new.Site)
	if err != nil || len(found) != 1 || found[0].Name != "EVENTS" || found[0].Epoch != 3 || found[0].Account == nil ||
		found[0].Account.Messages != 26 || found[0].Account.OnPrimary != 7 || found[0].Origin != "here/OLD" {
		t.Fatalf("%+v, %v", found, err)
	}
	var lines strings.Builder
	archive := p.replayJob().Archive
	if n, err := salvage.Export(p.ctx, archive, "o.ping", &lines); n != 6 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	all := slices.Collect(strings.Lines(lines.String()))
	if len(all) != 6 || !strings.HasPrefix(all[0], `{"seq":31,"subject":"o.ping","time":"20`) || !strings.Contains(all[0], `"data":"ping","on_primary":`) {
		t.Errorf("%q", all)
	}
	var unsettled *salvage.UnsettledError
	if err := salvage.Drop(p.ctx, archive, p.new, false); !errors.As(err, &unsettled) || unsettled.Counts.Replayed != 19 {
		t.Errorf("dropped although 19 are nowhere else: %v", err)
	}
	p.replay()
	p.must(nil, salvage.Drop(p.ctx, archive, p.new, false))
	if err := salvage.Drop(p.ctx, p.new, p.new, true); err == nil {
		t.Error("a stream that is no archive was dropped")
	}
}

func TestDropForced(t *testing.T) {
	p := parted(t, 3)
	p.archive()
	p.must(nil, salvage.Drop(p.ctx, p.replayJob().Archive, p.new, true))
	if found, err := salvage.List(p.ctx, p.new.Site); err != nil || len(found) != 0 {
		t.Errorf("%v, %v", found, err)
	}
}
