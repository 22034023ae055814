package natslab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// One after the other: 9 servers at a time are enough for two processors.
func TestStartTopologies(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		topology Topology
		servers  int
		sites    int
	}{
		{Domains, 3, 3},
		{Supercluster, 3, 3},
		{TwoCluster, 3, 2},
	} {
		t.Run(fmt.Sprintf("%s-%d", tc.topology, tc.servers), func(t *testing.T) {
			l := startLab(t, tc.topology, tc.servers)
			if got := len(l.Sites()); got != tc.sites {
				t.Errorf("sites: %d, want %d", got, tc.sites)
			}
			if got := l.Hub() != nil; got != (tc.topology == Domains) {
				t.Errorf("hub: %v", got)
			}
			p := newPair(t, l, tc.servers)
			p.publish()
			p.awaitMirror()
		})
	}
}

func TestOptionsRefused(t *testing.T) {
	for name, o := range map[string]Options{
		"servers":  {Servers: 2},
		"topology": {Topology: "ring"},
	} {
		if l, err := Start(testContext(t), o); err == nil {
			l.Close()
			t.Errorf("%s: started", name)
		}
	}
}

// A folder that was there keeps what others put there.
func TestDirIsLeftAsItWas(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	theirs := filepath.Join(dir, "theirs")
	if err := os.Mkdir(theirs, 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := Start(testContext(t), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	child, err := l.Spawn([]string{envServer + "=" + l.Hub().Servers()[0].ConfigFile()}, filepath.Join(theirs, "log"))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	select {
	case <-child.Done():
	default:
		t.Error("a spawned child outlives the lab")
	}
	got, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(got) != 1 || got[0] != theirs {
		t.Errorf("left %v (%v), want %s", got, err, theirs)
	}
}

func TestStartEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	dir := t.TempDir() + "/lab"
	if _, err := Start(ctx, Options{Topology: Supercluster, Dir: dir}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the folder is still there: %v", err)
	}
}

// One lab of separate domains goes through all faults.
func TestDomains(t *testing.T) {
	t.Parallel()
	l := startLab(t, Domains, 1)
	p := newPair(t, l, 1)
	p.publish()
	p.awaitMirror()

	t.Run("domains are apart", func(t *testing.T) {
		ctx := testContext(t)
		if _, err := p.west.Stream(ctx, "ORIGIN"); !errors.Is(err, jetstream.ErrStreamNotFound) {
			t.Errorf("east's stream seen in west: %v", err)
		}
	})
	t.Run("no address is learned", func(t *testing.T) { learnsNothing(t, l) })
	t.Run("cut", func(t *testing.T) { cutAndHeal(t, p, "hub") })
	t.Run("pause", func(t *testing.T) { pauseAndResume(t, p) })
	t.Run("shutdown", func(t *testing.T) { shutDownAndRestart(t, p) })
	t.Run("credentials", func(t *testing.T) { changePassword(t, p) })
	t.Run("no API", func(t *testing.T) { refusedAPI(t, l) })
	t.Run("kill", func(t *testing.T) { killAndRestart(t, p) })
	t.Run("orphan", func(t *testing.T) { endsWithItsStdin(t, l) })
	t.Run("store", func(t *testing.T) { readDeadStore(t, p) })
	t.Run("close", func(t *testing.T) { leavesNothing(t, l) })
}

func TestSupercluster(t *testing.T) {
	t.Parallel()
	l := startLab(t, Supercluster, 1)
	p := newPair(t, l, 1)
	p.publish()
	p.awaitMirror()

	t.Run("gateways use their own links", func(t *testing.T) { gatewaysUseLinks(t, l) })
	t.Run("meta leader", func(t *testing.T) { moveMetaLeader(t, l) })
	t.Run("cut pair", func(t *testing.T) { cutOnePair(t, l) })
	t.Run("cut", func(t *testing.T) { cutAndHeal(t, p, "west") })
	t.Run("kill", func(t *testing.T) { killAndRestart(t, p) })
}

func TestTwoClusterLosesItsMetaQuorum(t *testing.T) {
	t.Parallel()
	l := startLab(t, TwoCluster, 1)
	js := stream(t, connect(t, l, "west", "west"))
	// A survivor that follows misses its leader within 10 s; one that leads
	// takes up to 20 s to notice that it leads nobody.
	if err := l.MoveMetaLeader(testContext(t), "east"); err != nil {
		t.Fatal(err)
	}
	if err := l.Site("east").Kill(); err != nil {
		t.Fatal(err)
	}
	unavailable := func(err error) error {
		var api *jetstream.APIError
		if !errors.As(err, &api) || api.Code != 503 || api.ErrorCode != 10008 {
			return fmt.Errorf("got %v, want 503/10008", err)
		}
		return nil
	}
	eventually(t, func(ctx context.Context) error {
		_, err := js.AccountInfo(ctx)
		return unavailable(err)
	})
	// The same of a stream comes only after 500 ms.
	_, err := js.Stream(testContext(t), "ANY")
	if err := unavailable(err); err != nil {
		t.Error(err)
	}
	if _, err := l.MetaLeader(testContext(t)); !errors.Is(err, ErrNoMetaLeader) {
		t.Errorf("got %v, want %v", err, ErrNoMetaLeader)
	}
}
