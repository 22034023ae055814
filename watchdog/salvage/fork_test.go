package salvage_test

import (
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/understudy-ha/understudy/watchdog/salvage"
)

// TestFork looks for the fork of pairs of every shape. In each, the mirror had 20 messages at its promotion, unless said
// otherwise.
func TestFork(t *testing.T) {
	retried := func() *nats.Msg {
		return &nats.Msg{Subject: "o.x", Data: []byte("same"), Header: nats.Header{nats.MsgIdHdr: {"same"}}}
	}
	for name, tc := range map[string]struct {
		before int // messages that both have
		after  func(*pair)
		upTo   func(*pair) uint64
		want   uint64
	}{
		"nothing above":      {before: 20, after: func(p *pair) { p.switchOver() }, want: 20},
		"a tail":             {before: 20, after: func(p *pair) { p.publish("t", 7); p.switchOver() }, want: 20},
		"both went on":       {before: 20, after: func(p *pair) { p.publish("t", 7); p.switchOver(); p.publish("n", 9) }, want: 20},
		"empty streams":      {after: func(p *pair) { p.switchOver() }},
		"nothing in common":  {after: func(p *pair) { p.publish("t", 3); p.switchOver(); p.publish("n", 3) }},
		"all of it deleted":  {before: 20, after: func(p *pair) { p.purge("NEW", 21); p.publish("t", 2); p.switchOver() }},
		"a gap at the end":   {before: 20, after: func(p *pair) { p.drop("OLD", 19, 20); p.publish("t", 2); p.switchOver() }, want: 18},
		"gaps on both sides": {before: 20, after: func(p *pair) { p.drop("OLD", 20, 18, 10); p.drop("NEW", 19, 11, 9); p.switchOver() }, want: 17},
		"alternating gaps": {before: 20, after: func(p *pair) {
			p.drop("OLD", 11, 13, 15, 17, 19)
			p.drop("NEW", 12, 14, 16, 18, 20)
			p.publish("t", 5)
			p.switchOver()
			p.publish("n", 5)
		}, want: 10},
		"the first ones gone": {before: 20, after: func(p *pair) { p.purge("NEW", 16); p.publish("t", 2); p.switchOver() }, want: 20},
		"a retry at the same sequence": {before: 20, after: func(p *pair) {
			p.send(retried())
			p.switchOver()
			p.send(retried())
		}, upTo: func(*pair) uint64 { return 0 }, want: 20},
		"not above the promotion": {before: 20, after: func(p *pair) { p.switchOver() }, upTo: func(*pair) uint64 { return 15 }, want: 15},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t)
			p.publish("b", tc.before)
			p.promote()
			tc.after(p)
			upTo := p.at
			if tc.upTo != nil {
				upTo = tc.upTo(p)
			}
			got, err := salvage.Fork(p.ctx, p.old, p.new, upTo)
			if err != nil {
				t.Fatal(err)
			}
			if got != tc.want {
				t.Errorf("fork at %d, want %d", got, tc.want)
			}
		})
	}
}

// TestForkOfAShorterOrigin is about one that came back without its last messages, and went on from there: at the same
// sequences it holds other messages than the primary.
func TestForkOfAShorterOrigin(t *testing.T) {
	p := newPair(t)
	p.publish("b", 20)
	p.promote()
	p.must(p.js.CreateStream(p.ctx, jetstream.StreamConfig{Name: "SHORT", Mirror: &jetstream.StreamSource{Name: "OLD"}}))
	for p.last("SHORT") != 20 {
		p.must(nil, p.ctx.Err())
	}
	// SHORT holds up to 20, then its own; the mirror that is promoted now followed OLD up to 26.
	p.must(nil, p.js.DeleteStream(p.ctx, "NEW"))
	p.update("SHORT", func(c map[string]any) { delete(c, "mirror"); c["subjects"] = []string{"$devnull.SHORT"} })
	p.publish("lost", 6)
	p.must(p.js.CreateStream(p.ctx, jetstream.StreamConfig{Name: "NEW", Mirror: &jetstream.StreamSource{Name: "OLD"}}))
	p.promote()
	p.update("OLD", func(c map[string]any) { c["subjects"] = []string{"$devnull.OLD"} })
	p.update("SHORT", func(c map[string]any) { c["subjects"] = []string{"o.>"} })
	p.publish("stale", 9)
	got, err := salvage.Fork(p.ctx, p.side("SHORT"), p.new, p.at)
	if err != nil || got != 20 {
		t.Errorf("fork at %d (%v), want 20; the promotion was at %d", got, err, p.at)
	}
}

func (p *pair) purge(stream string, below uint64) {
	p.tb.Helper()
	s, err := p.js.Stream(p.ctx, stream)
	p.must(nil, err)
	p.must(nil, s.Purge(p.ctx, jetstream.WithPurgeSequence(below)))
}

func (p *pair) drop(stream string, seqs ...uint64) {
	p.tb.Helper()
	s, err := p.js.Stream(p.ctx, stream)
	p.must(nil, err)
	for _, seq := range seqs {
		p.must(nil, s.DeleteMsg(p.ctx, seq))
	}
}
