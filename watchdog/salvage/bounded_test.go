package salvage_test

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/understudy-ha/understudy/watchdog/salvage"
)

// TestArchiveIsBounded compares the memory that a tail of 40 MB takes, which is more than may be kept, with that of one
// five times as large.
func TestArchiveIsBounded(t *testing.T) {
	const small, large = 20_000, 100_000
	a, b := peak(t, small), peak(t, large)
	t.Logf("%d messages: %d MiB; %d messages: %d MiB", small, a>>20, large, b>>20)
	if b > 2*a {
		t.Errorf("a tail of 200 MB took %d MiB, one of 40 MB %d MiB", b>>20, a>>20)
	}
}

// peak archives n messages of 2 KB, and returns by how much the heap grew; the server's part of it is in there, too.
func peak(t *testing.T, n int) uint64 {
	p := newPair(t)
	p.publish("b", 10)
	p.promote()
	p.flood(n, 2048)
	p.switchOver()
	p.flood(30_000, 0) // of the primary's own: so many that passes over them are dear, and batches large
	job := p.job()
	base := heap()
	most := base
	job.Progress = func(pr salvage.Progress) {
		if pr.Done%10_000 == 0 || pr.Done == pr.Total {
			most = max(most, heap())
		}
	}
	began := time.Now()
	got, err := salvage.Archive(p.ctx, job)
	if err != nil || got.Messages != uint64(n) {
		t.Fatalf("%+v, %v", got, err)
	}
	t.Logf("%.0f messages a second", float64(n)/time.Since(began).Seconds())
	return most - base
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// flood stores n messages of a size, as fast as can be.
func (p *pair) flood(n, size int) {
	p.tb.Helper()
	data := bytes.Repeat([]byte("f"), size)
	js, err := jetstream.New(p.js.Conn(), jetstream.WithPublishAsyncMaxPending(1000))
	p.must(nil, err)
	for i := range n {
		p.must(js.PublishMsgAsync(&nats.Msg{Subject: "o.flood", Data: data, Header: nats.Header{nats.MsgIdHdr: {fmt.Sprint(size, "-", i)}}}, jetstream.WithStallWait(20*time.Second)))
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-p.ctx.Done():
		p.tb.Fatal("not published in time")
	}
}
