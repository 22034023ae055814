package salvage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/understudy-ha/understudy/watchdog/jsapi"
	"github.com/understudy-ha/understudy/watchdog/salvage"
)

// parted is a pair with 10 messages in common and a tail of n.
func parted(tb testing.TB, n int) *pair {
	p := newPair(tb)
	p.publish("b", 10)
	p.promote()
	p.publish("t", n)
	p.switchOver()
	return p
}

func TestArchiveOfNothing(t *testing.T) {
	p := parted(t, 0)
	got := p.archive()
	if got != (salvage.Account{OldLast: 10, Fork: 10}) {
		t.Errorf("%+v", got)
	}
	if _, err := p.js.Stream(p.ctx, salvage.StreamName("EVENTS", 3, "")); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("a stream was made: %v", err)
	}
}

// everyKind is a message of every header that the server acts on, and of every size.
func everyKind(limit int) []*nats.Msg {
	h := func(subject, k, v string, data []byte) *nats.Msg {
		return &nats.Msg{Subject: subject, Header: nats.Header{k: {v}}, Data: data}
	}
	full := &nats.Msg{Subject: "o.full", Data: bytes.Repeat([]byte("x"), limit)}
	withHeader := h("o.fullheader", "K", "v", nil)
	withHeader.Data = bytes.Repeat([]byte("y"), limit-len("NATS/1.0\r\nK: v\r\n\r\n"))
	longHeader := h("o.longheader", "K", string(bytes.Repeat([]byte("z"), 60_000)), []byte("d"))
	many := &nats.Msg{Subject: "o.many", Header: nats.Header{"b": {"2"}, "A": {"1", "one"}, "Empty": {""}}, Data: []byte("Understudy-Part: 1/2\r\n\r\n")}
	return []*nats.Msg{
		{Subject: "o.empty"}, h("o.emptyheader", "K", "v", nil), full, withHeader, longHeader, many,
		h("o.ttl", "Nats-TTL", "1h", []byte("ttl")),
		h("o.rollup", "Nats-Rollup", "sub", []byte("rollup")),
		h("o.id", nats.MsgIdHdr, "an-id", []byte("id")),
		h("o.expected", nats.ExpectedStreamHdr, "OLD", []byte("expected")),
		{Subject: "o.schedule.x", Header: nats.Header{"Nats-Schedule": {"@at 2099-01-01T00:00:00Z"}, "Nats-Schedule-Target": {"o.target"}}, Data: []byte("later")},
		h("o.marker", "KV-Operation", "DEL", nil), h("o.marker", "KV-Operation", "PURGE", nil),
		h("o.reason", "Nats-Marker-Reason", "MaxAge", nil),
		h("o.ours", "Understudy-Origin-Seq", "7", []byte("looks like an archived one")),
		h("o.utf8.grüße", "K", "ü", []byte{0, 1, 2, 255}),
	}
}

func TestArchiveKeepsEveryKindOfMessage(t *testing.T) {
	p := parted(t, 0)
	p2 := newPair(t)
	p2.publish("b", 3)
	p2.promote()
	for _, m := range everyKind(int(p.js.Conn().MaxPayload())) {
		p2.send(m)
	}
	before := stored(p2, "OLD")
	p2.switchOver()
	got := p2.archive()
	if want := uint64(len(everyKind(1000))); got.Messages != want || got.First != 4 || got.Last != 3+want || got.Fork != 3 || got.OnPrimary != 0 {
		t.Errorf("account: %+v", got)
	}
	if state := p2.state(got.Stream); state.Msgs != got.Messages+2 {
		t.Errorf("%d messages in the archive, want %d and two more parts", state.Msgs, got.Messages)
	}
	after := entries(p2)
	if len(after) != int(got.Messages) {
		t.Fatalf("%d entries, want %d", len(after), got.Messages)
	}
	for _, e := range after {
		want := before[e.Seq]
		if want == nil || e.Subject != want.Subject || !e.Time.Equal(want.Time) || !bytes.Equal(e.Data, want.Data) || !equalHeaders(e.Headers, want.Header) {
			t.Errorf("sequence %d is not as it was: %s, %v, %d bytes", e.Seq, e.Subject, e.Headers, len(e.Data))
		}
	}
}

func TestArchiveLeavesGapsOut(t *testing.T) {
	p := newPair(t)
	p.publish("b", 10)
	p.promote()
	p.publish("t", 300)
	var gone []uint64
	for seq := uint64(50); seq < 290; seq++ {
		gone = append(gone, seq)
	}
	p.drop("OLD", append(gone, 11, 310)...)
	p.switchOver()
	got := p.archive()
	if got.Messages != 300-242 || got.First != 12 || got.Last != 309 || got.Fork != 10 {
		t.Errorf("account: %+v", got)
	}
}

// TestArchiveAgain is called after an end of every kind: of the process after any message, within a message in two parts,
// and after all was done.
func TestArchiveAgain(t *testing.T) {
	p := newPair(t)
	p.publish("b", 3)
	p.promote()
	kinds := everyKind(int(p.js.Conn().MaxPayload()))
	for _, m := range kinds {
		p.send(m)
	}
	p.switchOver()
	whole := p.archive()
	archived := stored(p, whole.Stream)
	parts := p.state(whole.Stream).Msgs
	for cut := uint64(0); cut <= parts; cut++ {
		p.cutArchive(whole.Stream, archived, cut)
		got, err := salvage.Archive(p.ctx, p.job())
		if err != nil || got != whole {
			t.Errorf("after %d of %d messages: %+v (%v), want %+v", cut, parts, got, err, whole)
		}
		if n := p.state(whole.Stream).Msgs; n != parts {
			t.Errorf("after %d of %d messages: %d in the archive", cut, parts, n)
		}
	}
}

// cutArchive makes the archive anew with its first n messages only.
func (p *pair) cutArchive(stream string, archived map[uint64]*jetstream.RawStreamMsg, n uint64) {
	p.tb.Helper()
	s, err := p.js.Stream(p.ctx, stream)
	p.must(nil, err)
	cfg := s.CachedInfo().Config
	delete(cfg.Metadata, "understudy.salvage.account")
	for again := true; again; again = p.state(stream).Msgs > 0 { // a server that is slow to remove the store finds it again
		p.must(nil, p.js.DeleteStream(p.ctx, stream))
		p.must(p.js.CreateStream(p.ctx, cfg))
	}
	for seq := uint64(1); seq <= n; seq++ {
		m := &nats.Msg{Subject: archived[seq].Subject, Header: nats.Header{}, Data: archived[seq].Data}
		for k, v := range archived[seq].Header {
			if strings.HasPrefix(k, "Understudy-") { // not what the read or the write of it added
				m.Header[k] = v
			}
		}
		p.send(m)
	}
}

// TestArchiveThatLosesItsConnection is called again with a new one.
func TestArchiveThatLosesItsConnection(t *testing.T) {
	const tail = 5000
	for name, lose := range map[string]func(salvage.Job){
		"to the old origin":  func(j salvage.Job) { j.Old.Conn.Close() },
		"to the new primary": func(j salvage.Job) { j.Primary.Conn.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			p := parted(t, tail)
			job := p.job()
			job.Progress = func(pr salvage.Progress) {
				if pr.Done > tail/2 {
					lose(job)
				}
			}
			if _, err := salvage.Archive(p.ctx, job); !errors.Is(err, jsapi.ErrDisconnected) {
				t.Fatalf("got %v, want %v", err, jsapi.ErrDisconnected)
			}
			p.old, p.new = p.side("OLD"), p.side("NEW")
			if got := p.archive(); got.Messages != tail || p.state(got.Stream).Msgs != tail {
				t.Errorf("%+v, and %d in the archive", got, p.state(got.Stream).Msgs)
			}
		})
	}
}

func TestArchiveOfAnotherStream(t *testing.T) {
	p := parted(t, 3)
	job := p.job()
	job.Created = time.Now()
	if _, err := salvage.Archive(p.ctx, job); !errors.Is(err, salvage.ErrRecreated) {
		t.Errorf("got %v, want %v", err, salvage.ErrRecreated)
	}
	s, err := p.js.Stream(p.ctx, "OLD")
	p.must(nil, err)
	job.Created = s.CachedInfo().Created
	p.must(salvage.Archive(p.ctx, job))
}

// TestArchiveByMany has several leaders at it at once, one of which is stopped in the midst of it.
func TestArchiveByMany(t *testing.T) {
	const tail = 6000
	p := parted(t, tail)
	var wg sync.WaitGroup
	for i := range 4 {
		job := p.job()
		job.Old, job.Primary = p.side("OLD"), p.side("NEW")
		ctx, cancel := context.WithCancel(p.ctx)
		defer cancel()
		if i == 0 {
			job.Progress = func(pr salvage.Progress) {
				if pr.Done > tail/3 {
					cancel()
				}
			}
		}
		wg.Go(func() {
			got, err := salvage.Archive(ctx, job)
			if ctx.Err() == nil && (err != nil || got.Messages != tail) {
				t.Errorf("archiver %d: %+v, %v", i, got, err)
			}
		})
	}
	wg.Wait()
	if got := p.archive(); got.Messages != tail || p.state(got.Stream).Msgs != tail {
		t.Errorf("%+v, and %d messages in the archive; want %d", got, p.state(got.Stream).Msgs, tail)
	}
}

func TestArchiveThatWasTamperedWith(t *testing.T) {
	for name, tamper := range map[string]func(p *pair, stream string, all map[uint64]*jetstream.RawStreamMsg){
		"another payload": func(p *pair, s string, all map[uint64]*jetstream.RawStreamMsg) {
			all[5].Data = []byte("other")
			p.cutArchive(s, all, 20)
		},
		"one left out": func(p *pair, s string, all map[uint64]*jetstream.RawStreamMsg) {
			delete(all, 5)
			all[5] = all[6]
			p.cutArchive(s, all, 20)
		},
		"one twice": func(p *pair, s string, all map[uint64]*jetstream.RawStreamMsg) {
			all[6] = all[5]
			p.cutArchive(s, all, 20)
		},
		"another time": func(p *pair, s string, all map[uint64]*jetstream.RawStreamMsg) {
			all[5].Header.Set("Understudy-Origin-Time", "2020-01-01T00:00:00Z")
			p.cutArchive(s, all, 20)
		},
		"another subject": func(p *pair, s string, all map[uint64]*jetstream.RawStreamMsg) {
			all[5].Header.Set("Understudy-Origin-Subject", "o.y")
			p.cutArchive(s, all, 20)
		},
		"an unknown thing": func(p *pair, s string, all map[uint64]*jetstream.RawStreamMsg) {
			all[5].Header = nats.Header{}
			p.cutArchive(s, all, 20)
		},
		"one deleted": func(p *pair, s string, _ map[uint64]*jetstream.RawStreamMsg) {
			p.update(s, func(c map[string]any) { c["max_msgs"], c["discard"] = 19, "old" })
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := parted(t, 20)
			account := p.archive()
			tamper(p, account.Stream, stored(p, account.Stream))
			_, err := salvage.Archive(p.ctx, p.job())
			var mismatch *salvage.MismatchError
			if !errors.As(err, &mismatch) {
				t.Errorf("got %v, want a MismatchError", err)
			}
		})
	}
}

func TestArchiveMarksWhatThePrimaryHas(t *testing.T) {
	p := newPair(t)
	p.publish("b", 10)
	p.promote()
	p.publish("t", 5)
	for range 4 {
		p.send(&nats.Msg{Subject: "o.ping", Data: []byte("ping")}) // nothing tells them apart
	}
	p.send(&nats.Msg{Subject: "o.x", Data: []byte("t1"), Header: nats.Header{nats.MsgIdHdr: {"another"}}})
	p.switchOver()
	p.publish("t", 2) // two retries
	p.send(&nats.Msg{Subject: "o.ping", Data: []byte("ping")})
	p.send(&nats.Msg{Subject: "o.ping", Data: []byte("ping")})
	p.send(&nats.Msg{Subject: "o.x", Data: []byte("t3")}) // as content alone, not the message of the id t3
	got := p.archive()
	if got.Messages != 10 || got.OnPrimary != 4 {
		t.Errorf("%+v, want 4 of 10 on the primary", got)
	}
	var marked []uint64
	for _, e := range entries(p) {
		if e.OnPrimary > 0 {
			marked = append(marked, e.Seq)
		}
	}
	if want := []uint64{11, 12, 16, 17}; fmt.Sprint(marked) != fmt.Sprint(want) {
		t.Errorf("marked %v, want %v", marked, want)
	}
}

// TestArchiveMeasuresTheCapture: what the old origin stored before the new primary was bound is lag, what it stored later
// is captured by both.
func TestArchiveMeasuresTheCapture(t *testing.T) {
	p := newPair(t)
	p.publish("b", 10)
	p.promote()
	p.publish("lag", 5)
	job, before := p.job(), p.last("OLD")
	job.Since = stored(p, "OLD")[before].Time
	p.publish("both", 3)
	p.switchOver()
	got, err := salvage.Archive(p.ctx, job)
	p.must(nil, err)
	held := stored(p, "OLD")
	c := got.Captured
	if c.Messages != 3 || c.First != before+1 || c.Last != before+3 || !c.FirstAt.Equal(held[c.First].Time) || !c.LastAt.Equal(held[c.Last].Time) {
		t.Errorf("captured: %+v, want the 3 messages above %d", c, before)
	}
	if !got.FirstAt.Equal(held[11].Time) || !got.LastAt.Equal(held[before+3].Time) {
		t.Errorf("the tail is from %s to %s, want %s to %s", got.FirstAt, got.LastAt, held[11].Time, held[before+3].Time)
	}
	if again, err := salvage.Archive(p.ctx, job); err != nil || again != got {
		t.Errorf("again: %+v (%v), want %+v", again, err, got)
	}
	if p.archive().Captured.Messages != 0 {
		t.Error("measured without a time")
	}
}

func (p *pair) state(stream string) jetstream.StreamState {
	p.tb.Helper()
	s, err := p.js.Stream(p.ctx, stream)
	p.must(nil, err)
	return s.CachedInfo().State
}

// stored is all that a stream holds, by sequence.
func stored(p *pair, stream string) map[uint64]*jetstream.RawStreamMsg {
	p.tb.Helper()
	s, err := p.js.Stream(p.ctx, stream)
	p.must(nil, err)
	all := map[uint64]*jetstream.RawStreamMsg{}
	for seq := s.CachedInfo().State.FirstSeq; seq <= s.CachedInfo().State.LastSeq; seq++ {
		m, err := s.GetMsg(p.ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		p.must(nil, err)
		all[seq] = m
	}
	return all
}

func equalHeaders(a, b nats.Header) bool {
	if len(a) != len(b) {
		return false
	}
	for k := range a {
		if fmt.Sprint(a[k]) != fmt.Sprint(b[k]) {
			return false
		}
	}
	return true
}
