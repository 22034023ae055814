package watchdog_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/natslab"
	"github.com/understudy-ha/understudy/watchdog/salvage"
)

// unreplicated is how many acks the origin has given, at least, for what no mirror holds, when its site dies.
const unreplicated = 1500

// TestLedger settles the accounts of a failover: whatever the dead origin ever acked is on the new primary or in the
// archive, and after the replay on the primary, once.
func TestLedger(t *testing.T) {
	for _, c := range []struct {
		topology natslab.Topology
		servers  int
		acked    int
	}{
		{natslab.Domains, 1, 100_000}, {natslab.Domains, 3, 10_000}, {natslab.Supercluster, 1, 10_000}, {natslab.Supercluster, 3, 10_000},
	} {
		if !whole("TestLedger") { // the shortest stands for all
			if c.topology != natslab.Domains || c.servers != 1 {
				continue
			}
			c.acked = 10_000
		}
		t.Run(fmt.Sprintf("%s-R%d", c.topology, c.servers), func(t *testing.T) {
			t.Parallel()
			w := start(t, setup{topology: c.topology, servers: c.servers, streams: []stream{
				{name: "LEDGER", onlyWest: true, extra: "loss: {max_messages: 1000000}"}}})
			l := &ledger{w: w, b: newBook()}
			l.before(t, c.acked)
			l.lose(t)
			l.after(t)
			l.settle(t)
		})
	}
}

type ledger struct {
	w    *world
	b    *book
	died int // attempts until the link was cut
	// retried are unreplicated messages that their publishers sent again.
	retried []string
}

// before publishes what the mirrors hold. What is not acked is not sent again: without an id it might be stored twice.
func (l *ledger) before(t *testing.T, n int) {
	p := l.w.writer(t, l.b, "east", "LEDGER")
	for i := 0; l.b.acked("LEDGER") < n && l.w.ctx.Err() == nil; i++ {
		p.all(numbered(fmt.Sprintf("before-%d", i), n-l.b.acked("LEDGER")))
	}
	l.w.awaitMirrored(t, "LEDGER", l.w.mustInfo(t, "east", "LEDGER").State.LastSeq)
	l.died = l.b.size()
}

// lose cuts the mirrors off and kills the site in the midst of its work.
func (l *ledger) lose(t *testing.T) {
	l.w.cutReplication(t)
	p := l.w.writer(t, l.b, "east", "LEDGER")
	acked := l.b.acked("LEDGER")
	var dead atomic.Bool
	var work sync.WaitGroup
	work.Go(func() {
		i := 0
		p.stream(func() string {
			if i++; dead.Load() {
				return ""
			}
			return numbered(fmt.Sprintf("tail-%d", i/20), 20)[i%20]
		})
	})
	l.w.await(t, soon, func() error {
		if n := l.b.acked("LEDGER") - acked; n < unreplicated {
			return fmt.Errorf("%d acks since the cut", n)
		}
		return nil
	})
	l.w.loseEast(t)
	dead.Store(true)
	work.Wait()
	l.w.healReplication(t)
}

// after has publishers elsewhere go on: with new messages, and with some whose acks came from the origin that died, or
// never came.
func (l *ledger) after(t *testing.T) {
	acked, unknown := l.b.keys(l.died, endOK), l.b.keys(l.died, endUnknown)
	if len(acked) < 1000 {
		t.Fatalf("only %d acks are unreplicated", len(acked))
	}
	var ids []string
	for _, key := range slices.Concat(acked[:300], unknown[:min(len(unknown), 50)]) {
		if !strings.HasPrefix(key, plain) {
			ids = append(ids, key)
		}
	}
	p := l.w.writer(t, l.b, "eu", "LEDGER")
	again := func() error {
		if ids = p.all(ids); len(ids) > 0 {
			return fmt.Errorf("%d retries are not acked", len(ids))
		}
		return nil
	}
	l.retried = slices.Clone(ids)
	if again() == nil {
		t.Error("retries were acked while there was no primary")
	}
	l.w.awaitState(t, outage, "LEDGER", api.StateFailedOver, "")
	l.w.await(t, soon, again)
	fresh := numbered("after", 400)
	for _, key := range acked[300:500] {
		if strings.HasPrefix(key, plain) {
			l.retried, fresh = append(l.retried, key), append(fresh, key)
		}
	}
	if rest := p.all(fresh); len(rest) > 0 {
		t.Fatalf("%d messages were not acked by the new primary", len(rest))
	}
	t.Logf("%s; %d acks unreplicated, %d messages retried", l.b, len(acked), len(l.retried))
}

// settle brings the site back and accounts.
func (l *ledger) settle(t *testing.T) {
	l.w.restoreEast(t)
	s := l.w.awaitStatus(t, outage, "LEDGER", func(s api.StreamStatus) bool { return len(s.Archives) > 0 })
	a := s.Archives[0]
	archive, primary := l.w.side(t, "west", a.Stream), l.w.side(t, "west", "LEDGER_WEST")
	held, salvaged := l.w.contents(t, "west", "LEDGER_WEST"), l.w.archived(t, archive, func(salvage.Entry) {})
	if len(salvaged) < 1000 || uint64(len(salvaged)) != a.Messages || a.Captured.Messages != 0 {
		t.Errorf("%d messages salvaged, the account is %+v", len(salvaged), a)
	}
	if unmarked := slices.DeleteFunc(slices.Clone(l.retried), func(key string) bool {
		on, ok := salvaged[key]
		return on || !ok // one that was not acked need not have been stored
	}); len(unmarked) > 0 {
		t.Errorf("%d messages that were sent again are not marked as on the primary, as %s", len(unmarked), unmarked[0])
	}
	l.b.balance(t, held, salvaged)
	r := l.w.replay(t, archive, primary)
	if r.OnPrimary != a.OnPrimary || r.Replayed != a.Messages-a.OnPrimary || a.OnPrimary < 250 {
		t.Errorf("replayed %+v, the archive is %+v", r, a)
	}
	l.b.balance(t, l.w.contents(t, "west", "LEDGER_WEST"), nil)
	t.Logf("fork %d, %d salvaged, %d of them on the primary, %d replayed, stored from %s to %s", a.Fork, a.Messages, a.OnPrimary, r.Replayed,
		a.FirstAt.Format(time.TimeOnly), a.LastAt.Format(time.TimeOnly))
}
