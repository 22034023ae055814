package natslab

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestStartTopologies(t *testing.T) {
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
			t.Parallel()
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
	t.Run("kill", func(t *testing.T) { killAndRestart(t, p) })
	t.Run("pause", func(t *testing.T) { pauseAndResume(t, p) })
	t.Run("shutdown", func(t *testing.T) { shutDownAndRestart(t, p) })
	t.Run("credentials", func(t *testing.T) { changePassword(t, p) })
	t.Run("no API", func(t *testing.T) { refusedAPI(t, l) })
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
	nc := connect(t, l, "west", "west")
	if err := l.Site("east").Kill(); err != nil {
		t.Fatal(err)
	}
	js := stream(t, nc)
	eventually(t, func(ctx context.Context) error {
		var api *jetstream.APIError
		_, err := js.Stream(ctx, "ANY")
		if !errors.As(err, &api) || api.Code != 503 || api.ErrorCode != 10008 {
			return fmt.Errorf("got %v, want 503/10008", err)
		}
		return nil
	})
	if _, err := l.MetaLeader(testContext(t)); !errors.Is(err, ErrNoMetaLeader) {
		t.Errorf("got %v, want %v", err, ErrNoMetaLeader)
	}
}

// cutAndHeal cuts east off in each way: replication and clients from afar stop,
// local clients do not, and all comes back. It ends with a cut of the one pair
// that replication runs over.
func cutAndHeal(t *testing.T, p *pairOfStreams, over string) {
	l := p.lab
	wan := connect(t, l, "east", "west")
	for _, how := range []LinkState{Refuse, BlackHole} {
		p.cut(wan, how, func() error { return l.Cut("east", how) }, func() error { return l.Heal("east") })
		p.cut(nil, how, func() error { return l.CutPair(over, "east", how) },
			func() error { return l.HealPair("east", over) })
	}
}

func (p *pairOfStreams) cut(wan *nats.Conn, how LinkState, cut, heal func() error) {
	t := p.t
	t.Helper()
	if err := cut(); err != nil {
		t.Fatal(err)
	}
	before := p.received
	p.publish() // a local client still can
	throughout(t, 300*time.Millisecond, func() error { return p.mirrorAt(testContext(t), before) })
	if wan != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		if err := answers(ctx, wan); err == nil {
			t.Errorf("%s: a client from west was answered", how)
		}
	}
	if err := heal(); err != nil {
		t.Fatal(err)
	}
	p.awaitMirror()
	if wan != nil {
		eventually(t, func(ctx context.Context) error { return answers(ctx, wan) })
	}
}

func killAndRestart(t *testing.T, p *pairOfStreams) {
	east := p.lab.Site("east")
	pid := east.Servers()[0].Pid()
	if err := east.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d: %v, want it gone", pid, err)
	}
	if err := east.Pause(); !errors.Is(err, ErrNotRunning) {
		t.Errorf("pause of a dead server: %v, want %v", err, ErrNotRunning)
	}
	if err := east.Restart(testContext(t)); err != nil {
		t.Fatal(err)
	}
	eventually(t, func(ctx context.Context) error {
		got, err := lastSeq(ctx, p.east, "ORIGIN")
		if err == nil && got != p.received {
			err = fmt.Errorf("origin at %d after a kill, want %d", got, p.received)
		}
		return err
	})
	p.publish()
	p.awaitMirror()
}

func pauseAndResume(t *testing.T, p *pairOfStreams) {
	wan := connect(t, p.lab, "east", "west")
	east := p.lab.Site("east")
	if err := east.Pause(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if err := answers(ctx, wan); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a paused server answered: %v", err)
	}
	if !wan.IsConnected() {
		t.Error("the connection to a paused server closed")
	}
	if err := east.Resume(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func(ctx context.Context) error { return answers(ctx, wan) })
	p.publish()
	p.awaitMirror()
}

func shutDownAndRestart(t *testing.T, p *pairOfStreams) {
	west := p.lab.Site("west")
	if err := west.Shutdown(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if west.Servers()[0].Running() {
		t.Error("still running")
	}
	if err := west.Restart(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if err := p.lab.WaitReady(testContext(t)); err != nil {
		t.Fatal(err)
	}
	p.publish()
	p.awaitMirror()
}

func changePassword(t *testing.T, p *pairOfStreams) {
	ctx := testContext(t)
	l, east := p.lab, p.lab.Site("east")
	nc, err := l.Connect(ctx, "east", "west", nats.NoReconnect(),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := east.SetPassword(ctx, `new "password"`); err != nil {
		t.Fatal(err)
	}
	eventually(t, func(context.Context) error {
		if !nc.IsClosed() {
			return errors.New("a connection with the old password is still open")
		}
		return nil
	})
	_, err = l.Connect(ctx, "east", "west", nats.UserInfo(AppUser, AppPassword))
	if !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("old password: %v, want %v", err, nats.ErrAuthorization)
	}
	if err := answers(ctx, connect(t, l, "east", "west")); err != nil {
		t.Errorf("new password: %v", err)
	}
	if err := east.SetPassword(ctx, AppPassword); err != nil {
		t.Fatal(err)
	}
	p.publish()
	p.awaitMirror()
}

func refusedAPI(t *testing.T, l *Lab) {
	violations := make(chan error, 1)
	nc, err := l.ConnectNoAPI(testContext(t), "east", "east", nats.ErrorHandler(
		func(_ *nats.Conn, _ *nats.Subscription, err error) { violations <- err }))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if err := answers(ctx, nc); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("request: %v, want a timeout", err)
	}
	if err := <-violations; !errors.Is(err, nats.ErrPermissionViolation) {
		t.Errorf("got %v, want %v", err, nats.ErrPermissionViolation)
	}
}

func leavesNothing(t *testing.T, l *Lab) {
	var pids []int
	for _, s := range l.allServers() {
		pids = append(pids, s.Pid())
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		if pid == 0 {
			continue
		}
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("process %d: %v, want it gone", pid, err)
		}
	}
	if _, err := os.Stat(l.Dir()); !os.IsNotExist(err) {
		t.Errorf("folder %s is still there: %v", l.Dir(), err)
	}
}

// learnsNothing checks that neither clients nor leafnodes are told of addresses
// beside the links.
func learnsNothing(t *testing.T, l *Lab) {
	nc := connect(t, l, "east", "west")
	if got := nc.DiscoveredServers(); len(got) > 0 {
		t.Errorf("a client was told of %v", got)
	}
}

// gatewaysUseLinks checks that each gateway knows the addresses of its own links
// and no others, and is connected to one of them.
func gatewaysUseLinks(t *testing.T, l *Lab) {
	ctx := testContext(t)
	for _, s := range l.allServers() {
		sys, err := s.connect(SysUser, sysPassword)
		if err != nil {
			t.Fatal(err)
		}
		defer sys.Close()
		var v server.Varz
		if err := askServer(ctx, sys, "VARZ", &v); err != nil {
			t.Fatal(err)
		}
		var g server.Gatewayz
		if err := askServer(ctx, sys, "GATEWAYZ", &g); err != nil {
			t.Fatal(err)
		}
		for _, remote := range v.Gateway.Gateways {
			link, err := l.Link(s.site.Name, remote.Name, l.Site(remote.Name).servers[0].remote)
			if err != nil {
				t.Fatal(err)
			}
			if len(remote.URLs) != 1 || remote.URLs[0] != hostOf(t, gatewayURL(link)) {
				t.Errorf("%s knows %v of %s, want %s only", s.Name, remote.URLs, remote.Name, gatewayURL(link))
			}
			c := g.OutboundGateways[remote.Name].Connection
			if got := fmt.Sprintf("%s:%d", c.IP, c.Port); got != link {
				t.Errorf("%s is connected to %s at %s, want %s", s.Name, remote.Name, got, link)
			}
		}
	}
}

// hostOf is a URL's host as a server keeps it: unescaped.
func hostOf(t *testing.T, raw string) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

func moveMetaLeader(t *testing.T, l *Lab) {
	ctx := testContext(t)
	for _, site := range []string{"eu", "east", "west"} {
		if err := l.MoveMetaLeader(ctx, site); err != nil {
			t.Fatal(err)
		}
		leader, err := l.MetaLeader(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if leader.Site().Name != site {
			t.Errorf("meta leader in %s, want %s", leader.Site().Name, site)
		}
	}
	if err := l.StepDownMeta(ctx); err != nil {
		t.Fatal(err)
	}
	if leader, err := l.MetaLeader(ctx); err != nil || leader.Site().Name == "west" {
		t.Errorf("meta leader %v (%v) after a step-down in west", leader, err)
	}
}

// cutOnePair checks that a cut between two sites stops all bytes between them,
// and none elsewhere.
func cutOnePair(t *testing.T, l *Lab) {
	for _, how := range []LinkState{Refuse, BlackHole} {
		if err := l.CutPair("east", "west", how); err != nil {
			t.Fatal(err)
		}
		east, eu := connect(t, l, "east", "eu"), connect(t, l, "west", "eu")
		eventually(t, func(ctx context.Context) error { return answers(ctx, eu) })
		before := l.Forwarded("east", "west")
		throughout(t, 500*time.Millisecond, func() error {
			if err := errors.Join(east.Flush(), eu.Flush()); err != nil {
				return err
			}
			if got := l.Forwarded("east", "west"); got != before {
				return fmt.Errorf("%s: %d bytes crossed a cut link", how, got-before)
			}
			return nil
		})
		if err := l.HealPair("east", "west"); err != nil {
			t.Fatal(err)
		}
		if err := l.WaitReady(testContext(t)); err != nil {
			t.Fatal(err)
		}
	}
}
