package natslab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/understudy-ha/understudy/watchdog/natslab/deadstore"
)

// readDeadStore kills east and reads all that its stream ever acknowledged.
func readDeadStore(t *testing.T, p *pairOfStreams) {
	ctx := testContext(t)
	east := p.lab.Site("east")
	if err := east.Kill(); err != nil {
		t.Fatal(err)
	}
	st := openCopy(t, east)
	s, _, err := st.Stream(ctx, "ORIGIN")
	if err != nil {
		t.Fatal(err)
	}
	for seq := uint64(1); seq <= p.received; seq++ {
		msg, err := s.GetMsg(ctx, seq)
		if err != nil {
			t.Fatalf("message %d: %v", seq, err)
		}
		if got, want := string(msg.Data), fmt.Sprint(seq); got != want {
			t.Errorf("message %d: %q, want %q", seq, got, want)
		}
	}
	if _, _, err := st.Stream(ctx, "NONE"); !errors.Is(err, deadstore.ErrNoSuchStream) {
		t.Errorf("got %v, want %v", err, deadstore.ErrNoSuchStream)
	}
}

func openCopy(t *testing.T, s *Site) *deadstore.Store {
	t.Helper()
	dirs, err := s.CopyStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	st, err := OpenStore(testContext(t), dirs...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.Close)
	return st
}

// A replicated stream acknowledges from its raft log: what a killed server had
// not yet moved to the stream must be found all the same.
func TestReplicatedStoreHoldsAllAcks(t *testing.T) {
	t.Parallel()
	l := startLab(t, Domains, 3)
	east := l.Site("east")
	js := stream(t, connect(t, l, "east", "east"))
	eventually(t, func(ctx context.Context) error {
		_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "R3", Subjects: []string{"r.>"}, Replicas: 3})
		return err
	})
	acked := publishUntilKilled(t, js, east)
	s, nc, err := openCopy(t, east).Stream(testContext(t), "R3")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("acknowledged %d, in the store %d", len(acked), s.CachedInfo().State.Msgs)
	if nc == nil {
		t.Error("no connection to the copy")
	}
	for seq, want := range acked {
		msg, err := s.GetMsg(testContext(t), seq)
		if err != nil {
			t.Fatalf("message %d of %d: %v", seq, len(acked), err)
		}
		if got := msg.Subject + " " + string(msg.Data) + " " + msg.Header.Get("N"); got != want {
			t.Errorf("message %d: %.40q, want %.40q", seq, got, want)
		}
	}
}

// publishUntilKilled publishes from several tasks, kills the site in the midst
// of it, and returns what was acknowledged under which sequence.
func publishUntilKilled(t *testing.T, js jetstream.JetStream, site *Site) map[uint64]string {
	t.Helper()
	const tasks, before = 4, 400
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		acked = make(map[uint64]string)
		kill  = make(chan struct{})
	)
	for task := range tasks {
		wg.Go(func() {
			for n := 0; ; n++ {
				msg, text := testMessage(task, n)
				ctx, cancel := context.WithTimeout(context.Background(), pollTimeout)
				ack, err := js.PublishMsg(ctx, msg)
				cancel()
				if err != nil {
					return
				}
				mu.Lock()
				acked[ack.Sequence] = text
				if len(acked) == before {
					close(kill)
				}
				mu.Unlock()
			}
		})
	}
	wg.Go(func() {
		select {
		case <-kill:
		case <-testContext(t).Done():
		}
		if err := site.Kill(); err != nil {
			t.Error(err)
		}
	})
	wg.Wait()
	return acked
}

// testMessage makes messages of all kinds: with and without header, small, and
// large enough for the log to compress them.
func testMessage(task, n int) (*nats.Msg, string) {
	msg := nats.NewMsg(fmt.Sprintf("r.%d", task))
	msg.Data = fmt.Append(nil, n)
	if n%2 == 0 {
		msg.Header.Set("N", fmt.Sprint(n))
	}
	if n%10 == 0 {
		msg.Data = bytes.Repeat(msg.Data, 10<<10)
	}
	return msg, msg.Subject + " " + string(msg.Data) + " " + msg.Header.Get("N")
}
