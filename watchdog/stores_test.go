package watchdog_test

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/understudy-ha/understudy/watchdog/jsapi"
	"github.com/understudy-ha/understudy/watchdog/salvage"
)

// side is a stream as salvage reads it.
func (w *world) side(t *testing.T, site, stream string) salvage.Side {
	t.Helper()
	s := w.lab.Site(site)
	nc, err := jsapi.DialBulk(w.ctx, jsapi.Login{Servers: s.URLs(), User: s.User(), Password: s.Password()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return salvage.Side{Site: salvage.Site{Name: site, Conn: nc, Domain: s.Domain}, Stream: stream}
}

// contents counts the messages of a stream by their payloads.
func (w *world) contents(t *testing.T, site, stream string) map[string]int {
	t.Helper()
	nc, err := w.conn(site)
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	count := w.mustInfo(t, site, stream).State.Msgs
	c, err := js.OrderedConsumer(w.ctx, stream, jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	it, err := c.Messages()
	if err != nil {
		t.Fatal(err)
	}
	defer it.Stop()
	held := map[string]int{}
	for range count {
		m, err := it.Next(jetstream.NextContext(w.ctx))
		if err != nil {
			t.Fatal(err)
		}
		held[string(m.Data())]++
	}
	return held
}

// archived is what an archive holds, by payload: whether the primary has it, too.
func (w *world) archived(t *testing.T, archive salvage.Side, each func(salvage.Entry)) map[string]bool {
	t.Helper()
	held := map[string]bool{}
	if err := salvage.Show(w.ctx, archive, "", func(e salvage.Entry) error {
		held[string(e.Data)] = e.OnPrimary > 0
		each(e)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return held
}

// balance wants every acked message on the primary or in the archive, and none on the primary twice.
func (b *book) balance(t *testing.T, primary map[string]int, archive map[string]bool) {
	t.Helper()
	var lost []string
	for _, key := range b.keys(0, endOK) {
		if _, salvaged := archive[key]; primary[key] == 0 && !salvaged {
			lost = append(lost, key)
		}
	}
	var doubled []string
	for key, n := range primary {
		if n > 1 && !strings.HasPrefix(key, "payload ") {
			doubled = append(doubled, key)
		}
	}
	if len(lost)+len(doubled) > 0 {
		t.Errorf("%d acked messages are nowhere, as %q; %d are on the primary twice, as %q", len(lost), lost[:min(3, len(lost))],
			len(doubled), doubled[:min(3, len(doubled))])
	}
}

// replay publishes the archive to the primary, and again, which must find nothing left to do.
func (w *world) replay(t *testing.T, archive, primary salvage.Side) salvage.Replayed {
	t.Helper()
	first, err := salvage.Replay(w.ctx, salvage.ReplayJob{Archive: archive, Primary: primary})
	if err != nil || first.Failed > 0 {
		t.Fatalf("replay: %+v, %v", first, err)
	}
	again, err := salvage.Replay(w.ctx, salvage.ReplayJob{Archive: archive, Primary: primary})
	if err != nil || again.Replayed > 0 || again.Failed > 0 {
		t.Errorf("the second replay: %+v, %v", again, err)
	}
	return first
}
