package salvage

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// The headers of an archived message. The original's own headers are not among them, since the server would act on
// many: they stand in the payload, before the original's data.
const (
	headerSeq       = "Understudy-Origin-Seq"
	headerSubject   = "Understudy-Origin-Subject"
	headerTime      = "Understudy-Origin-Time"   // RFC 3339, with nanoseconds
	headerLength    = "Understudy-Header-Length" // of the header block that the payload begins with
	headerOnPrimary = "Understudy-On-Primary"    // a sequence at which the new primary has it, too
	headerPart      = "Understudy-Part"          // OFFSET/TOTAL in bytes, when one message of the archive could not hold it
)

// headerSalvage marks a replayed message on the primary: NAME/EPOCH/SEQ.
const headerSalvage = "Understudy-Salvage"

// HeaderReplayed is headerSalvage for those who count what a replay brought.
const HeaderReplayed = headerSalvage

// errDamaged says that an archive does not read as one.
var errDamaged = errors.New("the archive is damaged")

// parcel is a message on its way into the archive.
type parcel struct {
	*message
	onPrimary uint64 // 0: the primary lacks it
	stored    uint64 // the archive's own sequence of its last part, once read from there
}

// part is the message of the archive that holds the parcel's payload from an offset on, as much as fits into limit
// bytes with all headers. It returns the offset of the rest; the parcel is through when that is its length. The writer's
// own headers must fit into overhead bytes.
func (p parcel) part(offset, limit, overhead int) (*nats.Msg, int, error) {
	h := nats.Header{
		headerSeq:     {strconv.FormatUint(p.seq, 10)},
		headerSubject: {p.subject},
		headerTime:    {p.at.Format(time.RFC3339Nano)},
		headerLength:  {strconv.Itoa(len(p.header))},
	}
	if p.onPrimary > 0 {
		h.Set(headerOnPrimary, strconv.FormatUint(p.onPrimary, 10))
	}
	total := p.length()
	room := limit - headerSize(h) - overhead
	if offset == 0 && total <= room {
		return &nats.Msg{Header: h, Data: p.payload(0, total)}, total, nil
	}
	h.Set(headerPart, fmt.Sprintf("%d/%d", offset, total))
	if room = limit - headerSize(h) - overhead; room <= 0 {
		return nil, 0, fmt.Errorf("message %d does not fit: the largest payload is %d bytes", p.seq, limit)
	}
	end := min(offset+room, total)
	return &nats.Msg{Header: h, Data: p.payload(offset, end)}, end, nil
}

func (p parcel) length() int { return len(p.header) + len(p.data) }

// payload is a piece of the header block and the data after it.
func (p parcel) payload(from, to int) []byte {
	n := len(p.header)
	if from >= n {
		return p.data[from-n : to-n]
	}
	if to <= n {
		return p.header[from:to]
	}
	return append(append(make([]byte, 0, to-from), p.header[from:]...), p.data[:to-n]...)
}

// headerSize is the length of the block that the client makes of headers.
func headerSize(h nats.Header) int {
	size := len("NATS/1.0\r\n\r\n")
	for k, values := range h {
		for _, v := range values {
			size += len(k) + len(": \r\n") + len(v)
		}
	}
	return size
}

// piece is one message of the archive, read.
type piece struct {
	parcel
	headerLength  int
	offset, total int // of the payload
	data          []byte
}

// readPiece reads one message of the archive.
func readPiece(m *message) (*piece, error) {
	p := &piece{parcel: parcel{message: &message{subject: m.value(headerSubject)}}, data: m.data, total: len(m.data)}
	var err error
	if p.seq, err = strconv.ParseUint(m.value(headerSeq), 10, 64); err != nil {
		return nil, fmt.Errorf("%w: message %d: %s: %w", errDamaged, m.seq, headerSeq, err)
	}
	if p.at, err = time.Parse(time.RFC3339Nano, m.value(headerTime)); err != nil {
		return nil, fmt.Errorf("%w: message %d: %s: %w", errDamaged, m.seq, headerTime, err)
	}
	if p.headerLength, err = strconv.Atoi(m.value(headerLength)); err != nil {
		return nil, fmt.Errorf("%w: message %d: %s: %w", errDamaged, m.seq, headerLength, err)
	}
	if v := m.value(headerOnPrimary); v != "" {
		if p.onPrimary, err = strconv.ParseUint(v, 10, 64); err != nil {
			return nil, fmt.Errorf("%w: message %d: %s: %w", errDamaged, m.seq, headerOnPrimary, err)
		}
	}
	if v := m.value(headerPart); v != "" {
		offset, total, _ := strings.Cut(v, "/")
		var bad error
		p.offset, err = strconv.Atoi(offset)
		if p.total, bad = strconv.Atoi(total); err != nil || bad != nil {
			return nil, fmt.Errorf("%w: message %d: %s: %q", errDamaged, m.seq, headerPart, v)
		}
	}
	return p, nil
}

// end is the offset of what is still to come; it is the whole when nothing is.
func (p *piece) end() int { return p.offset + len(p.data) }

func (p *piece) last() bool { return p.end() == p.total }

// unpacker puts the messages of an archive together.
type unpacker struct {
	open *piece // what a message in parts has so far
	seq  uint64 // of the last message
}

// add takes the next message of the archive. It returns nil while parts are to come. An error matches errDamaged.
func (u *unpacker) add(m *message) (*parcel, error) {
	p, err := readPiece(m)
	if err != nil {
		return nil, err
	}
	switch {
	case u.open == nil && p.offset == 0 && p.seq > u.seq:
		u.open = p
	case u.open != nil && p.seq == u.open.seq && p.offset == u.open.end() && p.total == u.open.total:
		u.open.data = append(u.open.data, p.data...)
	default:
		return nil, fmt.Errorf("%w: message %d holds bytes %d to %d of origin sequence %d, which do not follow", errDamaged,
			m.seq, p.offset, p.end(), p.seq)
	}
	if !u.open.last() {
		return nil, nil
	}
	whole := u.open
	u.open, u.seq, whole.stored = nil, whole.seq, m.seq
	if n := whole.headerLength; n < 0 || n > len(whole.data) {
		return nil, fmt.Errorf("%w: message %d: %s %d of %d bytes", errDamaged, m.seq, headerLength, n, len(whole.data))
	} else if n > 0 {
		whole.header = whole.data[:n:n]
	}
	whole.message.data = whole.data[whole.headerLength:]
	return &whole.parcel, nil
}

// done fails when the last message of the archive is not whole.
func (u *unpacker) done() error {
	if u.open != nil {
		return fmt.Errorf("%w: origin sequence %d ends after %d of %d bytes", errDamaged, u.open.seq, u.open.end(), u.open.total)
	}
	return nil
}
