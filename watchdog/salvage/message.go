package salvage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

// message is one message as a stream holds it.
type message struct {
	seq     uint64
	at      time.Time // when its origin stored it; mirrors keep it, to the nanosecond
	subject string
	header  []byte // the block as stored, from "NATS/1.0" to the empty line; nil without one
	data    []byte
}

// noMessage is the server's code for a sequence without a message.
const noMessage = 10037

// errNoMessage says that a stream holds nothing there.
var errNoMessage = errors.New("no message")

// getRequest is the question of STREAM.MSG.GET: the message at a sequence or, with Next ">", the first from there on;
// or the last one of a subject.
type getRequest struct {
	Seq  uint64 `json:"seq,omitempty"`
	Next string `json:"next_by_subj,omitempty"`
	Last string `json:"last_by_subj,omitempty"`
}

// getAnswer carries the header block verbatim, which a delivered message does not: the client would parse it.
type getAnswer struct {
	Message struct {
		Subject string    `json:"subject"`
		Seq     uint64    `json:"seq"`
		Hdrs    []byte    `json:"hdrs"`
		Data    []byte    `json:"data"`
		Time    time.Time `json:"time"`
	} `json:"message"`
	Error *jsapi.APIError `json:"error"`
}

func (a *getAnswer) read() (*message, error) {
	if a.Error != nil && a.Error.ErrCode == noMessage {
		return nil, errNoMessage
	}
	if a.Error != nil {
		return nil, a.Error
	}
	m := a.Message
	if m.Seq == 0 {
		return nil, errors.New("an answer without a message")
	}
	return &message{seq: m.Seq, at: m.Time.UTC(), subject: m.Subject, header: m.Hdrs, data: m.Data}, nil
}

// get asks for one message. errNoMessage: the stream holds none there.
func (s Side) get(ctx context.Context, q getRequest) (*message, error) {
	a := &getAnswer{}
	err := s.ask(ctx, "STREAM.MSG.GET."+s.Stream, q, a)
	var refused *jsapi.APIError
	if errors.As(err, &refused) {
		a.Error = refused
	} else if err != nil {
		return nil, err
	}
	m, err := a.read()
	if err != nil && !errors.Is(err, errNoMessage) {
		return nil, fmt.Errorf("read message %d of %s: %w", q.Seq, s, err)
	}
	return m, err
}

// from is the first message at or after a sequence.
func (s Side) from(ctx context.Context, seq uint64) (*message, error) {
	return s.get(ctx, getRequest{Seq: max(seq, 1), Next: ">"})
}

// same says that both sides hold the identical message. The time is part of it: a message that only the old origin
// stored, and that its publisher then sent again, may get the very sequence that it had there.
func (m *message) same(o *message) bool {
	return m.seq == o.seq && m.at.Equal(o.at) && m.subject == o.subject &&
		bytes.Equal(m.header, o.header) && bytes.Equal(m.data, o.data)
}

func (m *message) size() int { return len(m.subject) + len(m.header) + len(m.data) }

// value is a header's value, found as the server does: by its exact name, in the raw block.
func (m *message) value(name string) string {
	line := []byte("\r\n" + name + ":")
	i := bytes.Index(m.header, line)
	if i < 0 {
		return ""
	}
	rest := m.header[i+len(line):]
	if end := bytes.Index(rest, []byte("\r\n")); end >= 0 {
		rest = rest[:end]
	}
	return string(bytes.TrimSpace(rest))
}

func (m *message) id() string { return m.value(nats.MsgIdHdr) }

// addTo adds a message to a digest: its sequence, its time in nanoseconds, and subject, headers and data, each after
// its length; all numbers are big-endian.
func (m *message) addTo(h hash.Hash) {
	b := binary.BigEndian.AppendUint64(nil, m.seq)
	b = binary.BigEndian.AppendUint64(b, uint64(m.at.UnixNano()))
	for _, part := range [][]byte{[]byte(m.subject), m.header, m.data} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(part)))
		h.Write(b)
		h.Write(part)
		b = b[:0]
	}
}

// key is what a message is known by elsewhere.
type key [16]byte

// The kinds of key.
const (
	byID      = "id"      // a Nats-Msg-Id
	byContent = "content" // subject and data of a message without one
	bySalvage = "salvage" // an Understudy-Salvage header
)

func keyOf(kind string, parts ...[]byte) key {
	h := sha256.New()
	h.Write([]byte(kind))
	for _, p := range parts {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(p))))
		h.Write(p)
	}
	return key(h.Sum(nil)[:len(key{})])
}

// key is the message's own: its id, else its content. Messages of one content without ids are told apart by nothing,
// so they are counted.
func (m *message) key() (k key, counted bool) {
	if id := m.id(); id != "" {
		return keyOf(byID, []byte(id)), false
	}
	return keyOf(byContent, []byte(m.subject), m.data), true
}
