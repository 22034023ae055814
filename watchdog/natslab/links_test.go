package natslab

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"time"
)

// The stronger cut wins, whoever made it, and outlives the heal of the other.
func TestLinksMergeCuts(t *testing.T) {
	ps, err := newPorts()
	if err != nil {
		t.Fatal(err)
	}
	defer ps.release()
	l := &Lab{links: newLinks(ps)}
	defer l.links.close()
	addr, err := l.Link("east", "west", echo(t))
	if err != nil {
		t.Fatal(err)
	}
	open := func(patience time.Duration) error {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return err
		}
		defer conn.Close()
		return roundTrip(conn, patience)
	}
	for _, step := range []struct {
		name string
		do   func() error
		open bool
	}{
		{"nothing cut", func() error { return nil }, true},
		{"pair cut", func() error { return l.CutPair("west", "east", Refuse) }, false},
		{"other pair cut and healed", func() error {
			return errors.Join(l.CutPair("west", "eu", BlackHole), l.HealPair("eu", "west"))
		}, false},
		{"site cut", func() error { return l.Cut("west", BlackHole) }, false},
		{"pair healed", func() error { return l.HealPair("east", "west") }, false},
		{"site healed", func() error { return l.Heal("west") }, true},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		patience := 50 * time.Millisecond
		if step.open {
			patience = timeout
		}
		if got := open(patience) == nil; got != step.open {
			t.Errorf("%s: open %v, want %v", step.name, got, step.open)
		}
	}
}

func TestPortsAreReservedOnce(t *testing.T) {
	a, err := newPorts()
	if err != nil {
		t.Fatal(err)
	}
	addr, err := a.take()
	if err != nil {
		t.Fatal(err)
	}
	name := a.files[0].Name()
	if _, err := lockFile(name); err == nil {
		t.Errorf("%s was locked twice", addr)
	}
	a.release()
	if _, err := os.Stat(name); !os.IsNotExist(err) {
		t.Errorf("lock file after release: %v", err)
	}
	f, err := lockFile(name)
	if err != nil {
		t.Fatal(err)
	}
	unlock(f)
}

func TestPollEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	want := errors.New("not yet")
	err := poll(ctx, func(context.Context) error { return want })
	if !errors.Is(err, want) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
