package salvage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/sethvargo/go-retry"

	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

// errOvertaken says that the archive did not end where the writer thought: somebody else writes, too, or an older
// message of ours arrived late.
var errOvertaken = errors.New("the archive grew meanwhile")

const (
	writeMessages = 512     // under way at once
	writeBytes    = 8 << 20 // the same
	writeOverhead = 192     // bytes of the headers that the writer adds, a stream's name included
)

// ack is a stream's answer to a publish.
type ack struct {
	Stream    string          `json:"stream"`
	Seq       uint64          `json:"seq"`
	Duplicate bool            `json:"duplicate"`
	Domain    string          `json:"domain"`
	Error     *jsapi.APIError `json:"error"`
}

// readAck reads an answer to a publish on the subject of one stream. An answer of anybody else is an error.
func readAck(m *nats.Msg, stream string) (*ack, error) {
	a := &ack{}
	if err := json.Unmarshal(m.Data, a); err != nil {
		return nil, fmt.Errorf("unreadable answer: %w", err)
	}
	if a.Error != nil {
		return a, a.Error
	}
	if a.Stream != stream {
		return a, fmt.Errorf("stored by stream %q, not by %s", a.Stream, stream)
	}
	return a, nil
}

// writer appends to an archive. Each message says which sequence the archive must end at, so that of two writers one
// fails, and so that the first message that is refused stops all that are under way behind it.
type writer struct {
	archive Side
	subject string
	pipe    *pipe
	end     uint64 // the archive's last sequence once all that was sent is stored
	acked   uint64
	sizes   []int // of what is under way
	bytes   int
}

func newWriter(archive Side, subject string, end uint64) (*writer, error) {
	p, err := openPipe(archive.Conn)
	if err != nil {
		return nil, err
	}
	return &writer{archive: archive, subject: subject, pipe: p, end: end, acked: end}, nil
}

func (w *writer) close() { w.pipe.close() }

// limit is the largest message that the server takes, headers included.
func (w *writer) limit() int { return int(w.archive.Conn.MaxPayload()) }

// put sends a parcel from an offset on, after waiting for room. Acks are checked then and in flush.
func (w *writer) put(ctx context.Context, p parcel, offset int) error {
	for first := true; first || offset < p.length(); first = false {
		m, next, err := p.part(offset, w.limit(), writeOverhead+len(w.archive.Stream))
		if err != nil {
			return err
		}
		offset = next
		m.Subject = w.subject
		m.Header.Set(nats.ExpectedStreamHdr, w.archive.Stream)
		m.Header.Set(nats.ExpectedLastSeqHdr, strconv.FormatUint(w.end, 10))
		for w.pipe.waiting() >= writeMessages || w.bytes > writeBytes {
			if err := w.take(ctx); err != nil {
				return err
			}
		}
		if err := w.pipe.send(m); err != nil {
			return err
		}
		w.end++
		w.sizes, w.bytes = append(w.sizes, len(m.Data)), w.bytes+len(m.Data)
	}
	return nil
}

// flush waits until all that was sent is stored.
func (w *writer) flush(ctx context.Context) error {
	for w.pipe.waiting() > 0 {
		if err := w.take(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) take(ctx context.Context) error {
	answer, err := w.pipe.take(ctx)
	if err != nil {
		return fmt.Errorf("write to %s: %w", w.archive, err)
	}
	w.bytes -= w.sizes[0]
	w.sizes = w.sizes[1:]
	a, err := readAck(answer, w.archive.Stream)
	if errors.Is(err, jsapi.ErrWrongLastSequence) {
		return errOvertaken
	}
	if err != nil {
		return fmt.Errorf("write to %s: %w", w.archive, err)
	}
	if a.Seq != w.acked+1 {
		return fmt.Errorf("write to %s: stored at %d, not at %d", w.archive, a.Seq, w.acked+1)
	}
	w.acked = a.Seq
	return nil
}

// impossible is a last sequence that no stream ever has.
const impossible = "9223372036854775807"

// ready waits until a leader takes publishes: a new replicated stream is there before it can store.
func (s Side) ready(ctx context.Context, subject string) error {
	probe := &nats.Msg{Subject: subject, Header: nats.Header{
		nats.ExpectedStreamHdr: {s.Stream}, nats.ExpectedLastSeqHdr: {impossible},
	}}
	backoff := retry.WithMaxDuration(leaderless, retry.NewConstant(25*time.Millisecond))
	return retry.Do(ctx, backoff, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, askPatience)
		defer cancel()
		answer, err := s.Conn.RequestMsgWithContext(ctx, probe)
		if err == nil {
			_, err = readAck(answer, s.Stream)
		}
		switch {
		case errors.Is(err, jsapi.ErrWrongLastSequence):
			return nil
		case errors.Is(err, nats.ErrNoResponders):
			return retry.RetryableError(fmt.Errorf("%s takes no publishes: %w", s, kindOf(err)))
		case err == nil:
			return fmt.Errorf("%s stored a probe that it should have refused", s)
		}
		return fmt.Errorf("%s takes no publishes: %w", s, s.why(err))
	})
}
