package salvage

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
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
	parsed  nats.Header // of a delivered message, whose block is not known
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

// getAnswer is an answer of STREAM.MSG.GET, without its headers and data: see readAnswer. It carries the header block
// verbatim, which a delivered message does not: the client parses it.
type getAnswer struct {
	Message struct {
		Subject string    `json:"subject"`
		Seq     uint64    `json:"seq"`
		Time    time.Time `json:"time"`
	} `json:"message"`
	Error *jsapi.APIError `json:"error"`
}

// readAnswer reads an answer of MSG.GET. The two large fields, which are base64, are cut out first: the decoder would look
// at every byte of them three times. A key can stand in no string, where its quotes would be escaped.
func readAnswer(answer []byte) (*message, error) {
	rest, data := cutField(answer, `"data":"`)
	rest, header := cutField(rest, `"hdrs":"`)
	a := &getAnswer{}
	if err := json.Unmarshal(rest, a); err != nil {
		return nil, fmt.Errorf("unreadable answer: %w", err)
	}
	m, err := a.read()
	if err != nil {
		return nil, err
	}
	var bad error
	m.header, err = base64.StdEncoding.AppendDecode(nil, header)
	if m.data, bad = base64.StdEncoding.AppendDecode(nil, data); err != nil || bad != nil {
		return nil, fmt.Errorf("unreadable answer: %w", cmp.Or(err, bad))
	}
	return m, nil
}

// cutField takes the value out of a field, which begins with a key and its opening quote and has no escapes. It returns
// the answer with an empty value.
func cutField(answer []byte, key string) (rest, value []byte) {
	i := bytes.Index(answer, []byte(key))
	if i < 0 {
		return answer, nil
	}
	i += len(key)
	n := bytes.IndexByte(answer[i:], '"')
	if n < 0 {
		return answer, nil
	}
	value = bytes.Clone(answer[i : i+n])
	return append(answer[:i], answer[i+n:]...), value
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
	return &message{seq: m.Seq, at: m.Time.UTC(), subject: m.Subject}, nil
}

// get asks for one message. errNoMessage: the stream holds none there.
func (s Side) get(ctx context.Context, q getRequest) (*message, error) {
	answer, err := s.request(ctx, "STREAM.MSG.GET."+s.Stream, q)
	if err != nil {
		return nil, err
	}
	m, err := readAnswer(answer)
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
	if m.parsed != nil {
		return m.parsed.Get(name)
	}
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
