package natslab

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

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
		sys, err := s.await(ctx, SysUser, sysPassword)
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
