package natslab

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// Connect opens an application's connection to a site as seen from another: by
// links that obey the cuts, or directly when both are the same. The context
// bounds the connecting. Options come after the lab's own and override them.
func (l *Lab) Connect(ctx context.Context, site, from string, opts ...nats.Option) (*nats.Conn, error) {
	return l.connectAs(ctx, AppUser, site, from, opts)
}

// ConnectNoAPI is Connect as a user that may not use the JetStream API.
func (l *Lab) ConnectNoAPI(ctx context.Context, site, from string, opts ...nats.Option) (*nats.Conn, error) {
	return l.connectAs(ctx, NoAPIUser, site, from, opts)
}

// ConnectSystem is Connect as the system account's user.
func (l *Lab) ConnectSystem(ctx context.Context, site, from string, opts ...nats.Option) (*nats.Conn, error) {
	return l.connectAs(ctx, SysUser, site, from, opts)
}

func (l *Lab) connectAs(ctx context.Context, user, site, from string, opts []nats.Option) (*nats.Conn, error) {
	s := l.Site(site)
	if s == nil {
		return nil, fmt.Errorf("connect: no site %q", site)
	}
	passwords := map[string]string{AppUser: s.Password(), NoAPIUser: noAPIPassword, SysUser: sysPassword}
	own := []nats.Option{nats.UserInfo(user, passwords[user])}
	if deadline, ok := ctx.Deadline(); ok {
		own = append(own, nats.Timeout(time.Until(deadline)))
	}
	nc, err := nats.Connect(strings.Join(s.URLsFrom(from), ","), append(own, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("connect to %s from %s as %s: %w", site, from, user, err)
	}
	return nc, nil
}
