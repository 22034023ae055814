package natslab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

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
	p.publish() // the mirror follows 10 to 20 s after its origin's restart: not waited for
}

// endsWithItsStdin checks the way in which servers end with their lab on systems
// without a parent-death signal.
func endsWithItsStdin(t *testing.T, l *Lab) {
	s := l.Site("eu").Servers()[0]
	if err := s.process().stdin.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func(context.Context) error {
		if s.Running() {
			return errors.New("the server outlives its stdin")
		}
		return nil
	})
	if err := s.Restart(testContext(t)); err != nil {
		t.Fatal(err)
	}
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
