package salvage_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/understudy-ha/understudy/watchdog/jsapi"
	"github.com/understudy-ha/understudy/watchdog/natslab"
	"github.com/understudy-ha/understudy/watchdog/natslab/deadstore"
	"github.com/understudy-ha/understudy/watchdog/salvage"
)

// TestFromStore kills a site that holds a tail, and archives that from a copy of its servers' stores.
func TestFromStore(t *testing.T) {
	for _, servers := range []int{1, 3} {
		t.Run(fmt.Sprintf("R%d", servers), func(t *testing.T) { fromStore(t, servers) })
	}
}

const (
	common = 50
	beyond = 700
)

func fromStore(t *testing.T, servers int) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	l, err := natslab.Start(ctx, natslab.Options{Topology: natslab.Domains, Servers: servers})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	acked := leaveTail(t, ctx, l, servers)
	dir := t.TempDir()
	if _, err := l.Site("east").CopyStore(dir); err != nil {
		t.Fatal(err)
	}
	old, err := salvage.OpenStore(ctx, "ORIGIN", "", dir)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if old.Account != natslab.AppAccount {
		t.Errorf("account %s, want %s", old.Account, natslab.AppAccount)
	}
	west := siteOf(t, ctx, l, "west")
	job := salvage.Job{Name: "EVENTS", Epoch: 1, Old: old.Side, Primary: salvage.Side{Site: west, Stream: "MIRROR"}, Origin: "east/ORIGIN", UpTo: common}
	got, err := salvage.Archive(ctx, job)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := salvage.Archive(ctx, job); err != nil || again != got {
		t.Errorf("the second time: %+v (%v), want %+v", again, err, got)
	}
	if got.Fork != common || got.Messages < uint64(len(acked)) || got.OnPrimary != 0 {
		t.Errorf("%+v, want a fork at %d and at least %d messages", got, common, len(acked))
	}
	err = salvage.Show(ctx, salvage.Side{Site: west, Stream: got.Stream}, "", func(e salvage.Entry) error {
		delete(acked, string(e.Data))
		return nil
	})
	if err != nil || len(acked) != 0 {
		t.Errorf("%d acked messages are not in the archive (%v)", len(acked), err)
	}
}

// leaveTail cuts the mirror off, publishes, kills the origin's site and promotes the mirror. It returns what was acked
// beyond the fork.
func leaveTail(t *testing.T, ctx context.Context, l *natslab.Lab, replicas int) map[string]bool {
	t.Helper()
	east, west := streams(t, ctx, l, "east"), streams(t, ctx, l, "west")
	eventually(t, ctx, func() error {
		_, err := east.CreateStream(ctx, jetstream.StreamConfig{Name: "ORIGIN", Subjects: []string{"o.>"}, Replicas: replicas})
		return err
	})
	eventually(t, ctx, func() error {
		_, err := west.CreateStream(ctx, jetstream.StreamConfig{Name: "MIRROR", Replicas: replicas,
			Mirror: &jetstream.StreamSource{Name: "ORIGIN", External: &jetstream.ExternalStream{APIPrefix: "$JS.east.API"}}})
		return err
	})
	publish(t, ctx, east, 0, common)
	eventually(t, ctx, func() error {
		s, err := west.Stream(ctx, "MIRROR")
		if err == nil && s.CachedInfo().State.LastSeq != common {
			err = fmt.Errorf("mirror at %d", s.CachedInfo().State.LastSeq)
		}
		return err
	})
	l.Cut("east", natslab.Refuse)
	acked := publish(t, ctx, east, common, common+beyond)
	if err := l.Site("east").Kill(); err != nil {
		t.Fatal(err)
	}
	promoteMirror(t, ctx, west)
	return acked
}

func promoteMirror(t *testing.T, ctx context.Context, js jetstream.JetStream) {
	t.Helper()
	s, err := js.Stream(ctx, "MIRROR")
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	cfg.Mirror, cfg.Subjects = nil, []string{"o.>"}
	if _, err := js.UpdateStream(ctx, cfg); err != nil {
		t.Fatal(err)
	}
}

func publish(t *testing.T, ctx context.Context, js jetstream.JetStream, from, to int) map[string]bool {
	t.Helper()
	acked := map[string]bool{}
	for i := from; i < to; i++ {
		eventually(t, ctx, func() error {
			_, err := js.Publish(ctx, "o.x", fmt.Append(nil, i), jetstream.WithMsgID(fmt.Sprint(i)))
			return err
		})
		acked[fmt.Sprint(i)] = true
	}
	return acked
}

func streams(t *testing.T, ctx context.Context, l *natslab.Lab, site string) jetstream.JetStream {
	t.Helper()
	nc, err := l.Connect(ctx, site, site)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// siteOf is a site as a job has it.
func siteOf(t *testing.T, ctx context.Context, l *natslab.Lab, name string) salvage.Site {
	t.Helper()
	s := l.Site(name)
	nc, err := jsapi.DialBulk(ctx, jsapi.Login{Servers: s.URLs(), User: s.User(), Password: s.Password()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return salvage.Site{Name: name, Conn: nc, Domain: s.Domain}
}

func eventually(t *testing.T, ctx context.Context, try func() error) {
	t.Helper()
	var err error
	for tick := time.NewTicker(10 * time.Millisecond); ctx.Err() == nil; <-tick.C {
		if err = try(); err == nil {
			return
		}
	}
	t.Fatalf("not in time: %v", err)
}

// TestStoreWithoutAccounts is about the store of a server whose config names none.
func TestStoreWithoutAccounts(t *testing.T) {
	p := newPair(t)
	p.publish("b", 7)
	dir := p.stopAndCopy()
	s, err := salvage.OpenStore(p.ctx, "OLD", "", dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.Account != "$G" {
		t.Errorf("account %s", s.Account)
	}
}

func TestStoreThatIsNone(t *testing.T) {
	empty, two := t.TempDir(), t.TempDir()
	for _, account := range []string{"A", "B"} {
		if err := os.MkdirAll(filepath.Join(two, "jetstream", account, "streams", "S"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := salvage.OpenStore(t.Context(), "S", "", empty); err == nil || !strings.Contains(err.Error(), "store_dir") {
		t.Errorf("an empty folder: %v", err)
	}
	if _, err := salvage.OpenStore(t.Context(), "S", "", two); err == nil || !strings.Contains(err.Error(), "name one of A, B") {
		t.Errorf("two accounts: %v", err)
	}
	if _, err := salvage.OpenStore(t.Context(), "T", "", two); !errors.Is(err, deadstore.ErrNoSuchStream) {
		t.Errorf("another stream: %v", err)
	}
}
