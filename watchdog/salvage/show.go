package salvage

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// Entry is one archived message.
type Entry struct {
	Seq       uint64      `json:"seq"` // on the old origin
	Subject   string      `json:"subject"`
	Time      time.Time   `json:"time"`
	Headers   nats.Header `json:"headers,omitempty"`
	Data      []byte      `json:"data"`
	OnPrimary uint64      `json:"on_primary,omitempty"` // a sequence at which the new primary has it
}

// Show calls each with every message of an archive, in the order in which the old origin stored them.
func Show(ctx context.Context, archive Side, each func(Entry) error) error {
	err := unpack(ctx, archive, func(p *parcel) error { return each(p.entry()) })
	if err != nil {
		return fmt.Errorf("read the archive %s: %w", archive, err)
	}
	return nil
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
