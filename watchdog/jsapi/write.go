package jsapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
)

// requiredLevel refuses a promotion on a server before 2.12, which would take it for an ordinary update.
var requiredLevel = nats.Header{"Nats-Required-Api-Level": {"2"}}

// Update sends a stream's whole config. ErrTimeout and ErrDisconnected mean unknown: read back.
func (c *Conn) Update(ctx context.Context, stream string, config json.RawMessage) (*Info, error) {
	if err := checkName(stream); err != nil {
		return nil, err
	}
	info := &Info{}
	if err := c.call(ctx, "STREAM.UPDATE."+stream, requiredLevel, config, info); err != nil {
		return nil, err
	}
	return info, nil
}

// Create makes a stream of a whole config. An equal stream that exists already is no error.
func (c *Conn) Create(ctx context.Context, stream string, config json.RawMessage) (*Info, error) {
	if err := checkName(stream); err != nil {
		return nil, err
	}
	info := &Info{}
	if err := c.call(ctx, "STREAM.CREATE."+stream, requiredLevel, config, info); err != nil {
		return nil, err
	}
	return info, nil
}

// Delete removes a stream and all it holds. It is the only place that can: the request is an empty body on
// STREAM.DELETE, which nothing else here sends.
func (c *Conn) Delete(ctx context.Context, stream string) error {
	if err := checkName(stream); err != nil {
		return err
	}
	var answer struct {
		Success bool `json:"success"`
	}
	if err := c.call(ctx, "STREAM.DELETE."+stream, nil, nil, &answer); err != nil {
		return err
	}
	if !answer.Success {
		return fmt.Errorf("STREAM.DELETE.%s: answered without success", stream)
	}
	return nil
}

// Purge removes all messages on one subject of a stream; ErrNoSubject without one.
func (c *Conn) Purge(ctx context.Context, stream, subject string) error {
	if err := checkName(stream); err != nil {
		return err
	}
	if subject == "" { // an empty filter would remove everything
		return fmt.Errorf("STREAM.PURGE.%s: %w", stream, ErrNoSubject)
	}
	body, err := json.Marshal(map[string]string{"filter": subject})
	if err != nil {
		return fmt.Errorf("STREAM.PURGE.%s: %w", stream, err)
	}
	var answer struct {
		Success bool `json:"success"`
	}
	if err := c.call(ctx, "STREAM.PURGE."+stream, nil, body, &answer); err != nil {
		return err
	}
	if !answer.Success {
		return fmt.Errorf("STREAM.PURGE.%s: answered without success", stream)
	}
	return nil
}

// ErrNoSubject: a purge names no subject.
var ErrNoSubject = errors.New("no subject is named")

// Ack is a stream's word that it stored a message.
type Ack struct {
	Stream    string `json:"stream"`
	Seq       uint64 `json:"seq"`
	Duplicate bool   `json:"duplicate"`
	Domain    string `json:"domain"`
}

// Publish stores one message, and returns the stream's ack. id becomes its Nats-Msg-Id unless "".
func (c *Conn) Publish(ctx context.Context, subject, id string, header map[string][]string, data []byte) (*Ack, error) {
	h := nats.Header{}
	for k, v := range header {
		h[k] = v
	}
	if id != "" {
		h.Set(nats.MsgIdHdr, id)
	}
	m, err := c.request(ctx, &nats.Msg{Subject: subject, Header: h, Data: data})
	if err != nil {
		return nil, fmt.Errorf("publish to %s: %w", subject, err)
	}
	ack := &Ack{}
	if err := decode(m.Data, ack); err != nil {
		return nil, fmt.Errorf("publish to %s: %w", subject, err)
	}
	if ack.Stream == "" {
		return nil, fmt.Errorf("publish to %s: answered, but not by a stream", subject)
	}
	return ack, nil
}

// impossible is a last sequence that no stream ever has: the greatest that the server can read.
const impossible = "9223372036854775807"

// Ready asks whether a leader takes publishes on a subject, by one that must be refused for its expected last sequence.
// It stores nothing; core subscribers see an empty message. nil means that a leader answers, not that it can commit.
func (c *Conn) Ready(ctx context.Context, subject string) error {
	h := map[string][]string{nats.ExpectedLastSeqHdr: {impossible}}
	ack, err := c.Publish(ctx, subject, "", h, nil)
	switch {
	case err == nil:
		return fmt.Errorf("ready %s: %s stored the probe at %d", subject, ack.Stream, ack.Seq)
	case errors.Is(err, ErrWrongLastSequence), errors.Is(err, ErrTooLarge): // the headers alone may be too much
		return nil
	}
	return fmt.Errorf("ready: %w", err)
}

// Barrier asks the leader of a subject's stream for the last sequence that it has given to a message, by a publish that
// must be refused as Ready's is: the leader takes publishes in their order, so all that it took before is counted.
func (c *Conn) Barrier(ctx context.Context, subject string) (last uint64, err error) {
	h := map[string][]string{nats.ExpectedLastSeqHdr: {impossible}}
	ack, err := c.Publish(ctx, subject, "", h, nil)
	var api *APIError
	switch {
	case err == nil:
		return 0, fmt.Errorf("barrier %s: %s stored the probe at %d", subject, ack.Stream, ack.Seq)
	case !errors.Is(err, ErrWrongLastSequence) || !errors.As(err, &api):
		return 0, fmt.Errorf("barrier: %w", err)
	}
	_, number, _ := strings.Cut(api.Description, ": ") // "wrong last sequence: 42"
	if last, err = strconv.ParseUint(number, 10, 64); err != nil {
		return 0, fmt.Errorf("barrier %s: the refusal %q names no sequence", subject, api.Description)
	}
	return last, nil
}

// PublishEvent sends a core message: best effort, nothing is waited for.
func (c *Conn) PublishEvent(subject string, data []byte) error {
	l := c.live.Load()
	if l == nil {
		return fmt.Errorf("publish event %s: %w", subject, c.lost())
	}
	if err := l.nc.Publish(subject, data); err != nil {
		return fmt.Errorf("publish event %s: %w", subject, err)
	}
	return nil
}
