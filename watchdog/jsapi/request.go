package jsapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// defaultTimeout ends a request whose context has no deadline of its own.
const defaultTimeout = 5 * time.Second

// call asks one API question and decodes the answer into out. verb is what follows "API.", as "STREAM.INFO.ORDERS".
func (c *Conn) call(ctx context.Context, verb string, hdr nats.Header, body []byte, out any) error {
	m, err := c.request(ctx, &nats.Msg{Subject: c.subject(verb), Header: hdr, Data: body})
	if err != nil {
		return fmt.Errorf("%s: %w", verb, err)
	}
	if err := decode(m.Data, out); err != nil {
		return fmt.Errorf("%s: %w", verb, err)
	}
	return nil
}

// subject is the API's, of the login's domain.
func (c *Conn) subject(verb string) string {
	if d := c.o.Login.Domain; d != "" {
		return "$JS." + d + ".API." + verb
	}
	return "$JS.API." + verb
}

// request sends one message and waits for one answer, until the deadline, the end of the connection, or the server's
// word that we may not ask.
func (c *Conn) request(ctx context.Context, m *nats.Msg) (*nats.Msg, error) {
	if _, has := ctx.Deadline(); !has {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, defaultTimeout)
		defer cancel()
	}
	ctx, deny := context.WithCancelCause(ctx)
	defer deny(nil)
	l, forget := c.enlist(m.Subject, deny)
	if l == nil {
		return nil, c.lost()
	}
	defer forget()
	answer, err := l.nc.RequestMsgWithContext(ctx, m)
	if err != nil {
		return nil, l.requestError(ctx, err)
	}
	return answer, nil
}

// enlist counts a request in at the live connection; nil when there is none.
func (c *Conn) enlist(subject string, deny context.CancelCauseFunc) (l *link, forget func()) {
	for {
		if l = c.live.Load(); l == nil {
			return nil, nil
		}
		if forget, ok := l.waiting.add(subject, deny); ok {
			return l, forget
		} // else it was left in this very moment, and its successor is live
	}
}

// Ping asks the server that we are connected to, and nothing behind it, for a sign of life.
func (c *Conn) Ping(ctx context.Context) error {
	l := c.live.Load()
	if l == nil {
		return c.lost()
	}
	ctx, cancel := context.WithTimeout(ctx, defaultTimeout) // the client insists on a deadline
	defer cancel()
	if err := l.nc.FlushWithContext(ctx); err != nil {
		return fmt.Errorf("ping: %w", l.requestError(ctx, err))
	}
	return nil
}

// decode reads an answer, whose error comes in the place of its content.
func decode(data []byte, out any) error {
	var refusal struct {
		Error *APIError `json:"error"`
	}
	if err := json.Unmarshal(data, &refusal); err != nil {
		return fmt.Errorf("unreadable answer: %w", err)
	}
	if refusal.Error != nil {
		return refusal.Error
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("unreadable answer: %w", err)
	}
	return nil
}

// redact keeps a password in a server's URL out of errors and logs.
func redact(server string) string {
	if !strings.Contains(server, "://") {
		server = "nats://" + server
	}
	u, err := url.Parse(server)
	if err != nil {
		return "a server whose URL does not parse"
	}
	return u.Redacted()
}
