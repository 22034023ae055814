package salvage

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
)

// Entry is one archived message.
type Entry struct {
	Seq       uint64      // on the old origin
	Time      time.Time   // when it was stored there
	Subject   string      // its own
	Headers   nats.Header // nil without any, or when the block cannot be read
	Data      []byte
	OnPrimary uint64 // a sequence at which the new primary has it, 0: it lacks it
}

// MarshalJSON gives the data as text where it is that, else as base64.
func (e Entry) MarshalJSON() ([]byte, error) {
	line := struct {
		Seq       uint64      `json:"seq"`
		Subject   string      `json:"subject"`
		Time      time.Time   `json:"time"`
		Headers   nats.Header `json:"headers,omitempty"`
		Data      *string     `json:"data,omitempty"`
		Base64    []byte      `json:"data_base64,omitempty"`
		OnPrimary uint64      `json:"on_primary,omitempty"`
	}{Seq: e.Seq, Subject: e.Subject, Time: e.Time, Headers: e.Headers, OnPrimary: e.OnPrimary}
	if text := string(e.Data); utf8.ValidString(text) {
		line.Data = &text
	} else {
		line.Base64 = e.Data
	}
	return json.Marshal(line)
}

// ErrEnough, returned by the function that Show calls, ends it in good order.
var ErrEnough = errEnough

// Show calls each with every message of an archive whose subject a filter matches, in the order in which the old origin
// stored them. The filter may have wildcards; "" matches all.
func Show(ctx context.Context, archive Side, filter string, each func(Entry) error) error {
	if err := CheckFilter(filter); err != nil {
		return err
	}
	err := unpack(ctx, archive, 1, func(p *parcel) error {
		if !matches(filter, p.subject) {
			return nil
		}
		return each(p.entry())
	})
	if err != nil && !errors.Is(err, errEnough) {
		return fmt.Errorf("read the archive %s: %w", archive, err)
	}
	return nil
}

// Export writes an archive as JSON, one message a line, and returns how many there were.
func Export(ctx context.Context, archive Side, filter string, w io.Writer) (int, error) {
	out := bufio.NewWriter(w)
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false)
	n := 0
	err := Show(ctx, archive, filter, func(e Entry) error {
		n++
		return lines.Encode(e)
	})
	if flushed := out.Flush(); err == nil {
		err = flushed
	}
	return n, err
}

func (p *parcel) entry() Entry {
	return Entry{Seq: p.seq, Subject: p.subject, Time: p.at, Headers: p.headers(), Data: p.data, OnPrimary: p.onPrimary}
}

// headers reads the block as the client does; nil when it cannot be read.
func (m *message) headers() nats.Header {
	if len(m.header) == 0 {
		return nil
	}
	h, err := nats.DecodeHeadersMsg(m.header)
	if err != nil {
		return nil
	}
	return h
}
