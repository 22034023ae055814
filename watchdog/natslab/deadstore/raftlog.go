package deadstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/klauspost/compress/s2"
)

// A raft log is a store of append entries (encode in the server's raft.go),
// little-endian:
//
//	leader(8) term(8) commit(8) previous term(8) previous index(8) count(2)
//	count x (size(4) type(1) data)
//
// and of a stream's group, a normal entry's data is an operation and, for a
// message (encodeStreamMsg in jetstream_cluster.go):
//
//	sequence(8) timestamp(8), then subject, reply and header, each after its
//	length(2), then the data after its length(4)
const (
	entriesHead = 42
	entryHead   = 4
	normalEntry = 0

	opMessage           = 4
	opCompressedMessage = 14
)

var errShortEntry = errors.New("raft log entry too short")

// readLog reads the messages of a stream's raft group, in order. Deletes, purges
// and atomic batches in the log are passed over. A message's sequence is the one
// that the leader expected for it.
func readLog(group string) ([]message, error) {
	records, err := readRecords(filepath.Join(group, "msgs"), filepath.Base(group))
	if err != nil {
		return nil, err
	}
	var log []message
	for _, r := range records {
		if log, err = appendEntries(log, r); err != nil {
			return nil, err
		}
	}
	return log, nil
}

// appendEntries adds the messages of one append entry.
func appendEntries(log []message, buf []byte) ([]message, error) {
	if len(buf) < entriesHead {
		return nil, errShortEntry
	}
	count := int(binary.LittleEndian.Uint16(buf[entriesHead-2:]))
	buf = buf[entriesHead:]
	for range count {
		if len(buf) < entryHead {
			return nil, errShortEntry
		}
		size := int(binary.LittleEndian.Uint32(buf))
		buf = buf[entryHead:]
		if size < 1 || size > len(buf) {
			return nil, errShortEntry
		}
		entry := buf[:size]
		buf = buf[size:]
		if len(entry) < 2 || entry[0] != normalEntry {
			continue
		}
		m, ok, err := decodeOperation(entry[1], entry[2:])
		if err != nil {
			return nil, err
		}
		if ok {
			log = append(log, m)
		}
	}
	return log, nil
}

// decodeOperation reads a message; false for any other operation.
func decodeOperation(op byte, buf []byte) (message, bool, error) {
	switch op {
	case opMessage:
	case opCompressedMessage:
		var err error
		if buf, err = s2.Decode(nil, buf); err != nil {
			return message{}, false, fmt.Errorf("decompress a logged message: %w", err)
		}
	default:
		return message{}, false, nil
	}
	d := decoder{buf: buf}
	m := message{seq: d.uint(8) + 1, ts: int64(d.uint(8))}
	m.subject = string(d.bytes(d.uint(2)))
	_ = d.bytes(d.uint(2)) // the reply
	m.hdr = d.bytes(d.uint(2))
	m.data = d.bytes(d.uint(4))
	return m, d.err == nil, d.err
}

// decoder takes values off a buffer and remembers when it was too short.
type decoder struct {
	buf []byte
	err error
}

func (d *decoder) bytes(n uint64) []byte {
	if uint64(len(d.buf)) < n {
		d.err, d.buf = errShortEntry, nil
		return nil
	}
	b := d.buf[:n]
	d.buf = d.buf[n:]
	return b
}

func (d *decoder) uint(size uint64) uint64 {
	b := d.bytes(size)
	var v uint64
	for i := len(b) - 1; i >= 0; i-- {
		v = v<<8 | uint64(b[i])
	}
	return v
}
