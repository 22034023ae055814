package salvage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

// askPatience bounds one question whose context has no earlier deadline.
const askPatience = 10 * time.Second

// Site is one place's JetStream, behind a connection that is made once and neither reconnects nor buffers
// (jsapi.DialBulk): an archive must not be written by what a lost connection left over.
type Site struct {
	Name   string
	Conn   *nats.Conn
	Domain string // "" is the account's default one
}

// Side is one stream at one site.
type Side struct {
	Site
	Stream string
}

// String names it as a member is named everywhere: site/stream.
func (s Side) String() string { return s.Name + "/" + s.Stream }

// on is another stream of the site.
func (s Site) on(stream string) Side { return Side{Site: s, Stream: stream} }

// api is the subject of an API verb, as "STREAM.INFO.ORDERS".
func (s Site) api(verb string) string {
	if s.Domain != "" {
		return "$JS." + s.Domain + ".API." + verb
	}
	return "$JS.API." + verb
}

// request asks one API question and returns the answer. Errors match those of jsapi.
func (s Site) request(ctx context.Context, verb string, question any) ([]byte, error) {
	var body []byte
	if question != nil {
		var err error
		if body, err = json.Marshal(question); err != nil {
			return nil, fmt.Errorf("%s at %s: %w", verb, s.Name, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	m, err := s.Conn.RequestWithContext(ctx, s.api(verb), body)
	if err != nil {
		return nil, fmt.Errorf("%s at %s: %w", verb, s.Name, s.why(err))
	}
	return m.Data, nil
}

// ask is request, with the answer decoded into out.
func (s Site) ask(ctx context.Context, verb string, question, out any) error {
	answer, err := s.request(ctx, verb, question)
	if err != nil {
		return err
	}
	if err := decode(answer, out); err != nil {
		return fmt.Errorf("%s at %s: %w", verb, s.Name, err)
	}
	return nil
}

// why is kindOf of a request that the site may have had no permission for: the server says that beside the request, which
// then has no answer.
func (s Site) why(err error) error {
	err = kindOf(err)
	if last := s.Conn.LastError(); errors.Is(err, jsapi.ErrTimeout) && errors.Is(last, nats.ErrPermissionViolation) {
		return fmt.Errorf("%w: %w", jsapi.ErrPermission, last)
	}
	return err
}

// kindOf gives a failed request the sentinel that the rest of the program knows it by.
func kindOf(err error) error {
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return fmt.Errorf("%w: %w", jsapi.ErrNoResponders, err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return fmt.Errorf("%w: %w", jsapi.ErrTimeout, err)
	case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrBadSubscription):
		return fmt.Errorf("%w: %w", jsapi.ErrDisconnected, err)
	}
	return err
}

// decode reads an answer, whose error comes in the place of its content.
func decode(data []byte, out any) error {
	var refusal struct {
		Error *jsapi.APIError `json:"error"`
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

// info asks for the stream's config and state.
func (s Side) info(ctx context.Context) (*jsapi.Info, error) {
	if s.Stream == "" || strings.ContainsAny(s.Stream, ".*> ") {
		return nil, fmt.Errorf("stream name %q: must be one subject token without wildcards", s.Stream)
	}
	info := &jsapi.Info{}
	if err := s.ask(ctx, "STREAM.INFO."+s.Stream, nil, info); err != nil {
		return nil, err
	}
	return info, nil
}
