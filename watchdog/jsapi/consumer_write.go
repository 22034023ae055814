package jsapi

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// CreateConsumer makes a consumer of a whole config, and changes none: one of this name and an equal config is no error
// and keeps its pause_until whatever the config says; one of another config is ErrConsumerExists. requires, unless "", is
// the API level that the config needs: a server below it would drop what it does not know, and answers ErrAPILevel
// instead.
func (c *Conn) CreateConsumer(ctx context.Context, stream, name string, config json.RawMessage, requires string) (*ConsumerInfo, error) {
	verb, err := consumerVerb("CREATE", stream, name)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(struct {
		Stream string          `json:"stream_name"`
		Config json.RawMessage `json:"config"`
		Action string          `json:"action"`
	}{stream, config, "create"})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", verb, err)
	}
	var hdr nats.Header
	if requires != "" {
		hdr = nats.Header{"Nats-Required-Api-Level": {requires}}
	}
	info := &ConsumerInfo{}
	if err := c.call(ctx, verb, hdr, body, info); err != nil {
		return nil, err
	}
	return info, nil
}

// ResetConsumer puts a consumer at a stream sequence: its next message is the first from there on. The server forgets
// what was delivered and acknowledged. ErrResetRefused means that nothing changed; ErrTimeout that it may have.
//
// It needs API level 4 (2.14). Below that it is not refused but never answered.
func (c *Conn) ResetConsumer(ctx context.Context, stream, name string, seq uint64) (*ConsumerInfo, error) {
	verb, err := consumerVerb("RESET", stream, name)
	if err != nil {
		return nil, err
	}
	if seq == 0 {
		return nil, fmt.Errorf("%s: sequence 0 would mean the acknowledgement floor", verb)
	}
	body, err := json.Marshal(struct {
		Seq uint64 `json:"seq"`
	}{seq})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", verb, err)
	}
	info := &ConsumerInfo{}
	if err := c.call(ctx, verb, nil, body, info); err != nil {
		return nil, err
	}
	return info, nil
}

// PauseConsumer keeps a consumer from delivering until a time; the zero time, or one that has passed, ends a pause. But a
// push consumer whose pause is ended so (seen in 2.15.2) goes on only when its stream gets another message; one whose pause
// runs out goes on by itself. In a cluster the meta leader answers, before the consumer's own leader has heard of it: read it back.
func (c *Conn) PauseConsumer(ctx context.Context, stream, name string, until time.Time) error {
	verb, err := consumerVerb("PAUSE", stream, name)
	if err != nil {
		return err
	}
	body, err := json.Marshal(struct {
		PauseUntil time.Time `json:"pause_until,omitzero"`
	}{until})
	if err != nil {
		return fmt.Errorf("%s: %w", verb, err)
	}
	var answer struct {
		PauseUntil time.Time `json:"pause_until"`
	}
	return c.call(ctx, verb, nil, body, &answer)
}

// DeleteConsumer removes a consumer and its position.
func (c *Conn) DeleteConsumer(ctx context.Context, stream, name string) error {
	verb, err := consumerVerb("DELETE", stream, name)
	if err != nil {
		return err
	}
	var answer struct {
		Success bool `json:"success"`
	}
	if err := c.call(ctx, verb, nil, nil, &answer); err != nil {
		return err
	}
	if !answer.Success {
		return fmt.Errorf("%s: answered without success", verb)
	}
	return nil
}
