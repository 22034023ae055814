package deadstore

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A block file is a sequence of records (writeMsgRecordLocked in the server's
// filestore.go), little-endian:
//
//	length(4) sequence(8) timestamp(8) subject length(2) subject
//	[header length(4) header] data checksum(8)
//
// The header is there when the length's high bit is set. The checksum is keyed
// by "<stream>-<block>" and leaves both lengths of the first and the header's
// length out.
const (
	recordHead    = 22
	recordSum     = 8
	withHeader    = 1 << 31
	erased        = 1 << 63 // sequence bit: the message was removed
	tombstone     = 1 << 62 // sequence bit: the record tells of a removal
	blockSuffix   = ".blk"
	headerLenSize = 4
)

// blocks lists the indexes of a folder's block files, ascending.
func blocks(dir string) ([]int, error) {
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var indexes []int
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), blockSuffix)
		if !ok {
			continue
		}
		if i, err := strconv.Atoi(name); err == nil {
			indexes = append(indexes, i)
		}
	}
	slices.Sort(indexes)
	return indexes, nil
}

// readRecords reads the data of a folder's records, in order, without those that
// were removed. A file ends at its first broken record: the write that the kill
// cut short.
func readRecords(dir, name string) ([][]byte, error) {
	indexes, err := blocks(dir)
	if err != nil {
		return nil, err
	}
	var all [][]byte
	for _, i := range indexes {
		buf, err := os.ReadFile(filepath.Join(dir, strconv.Itoa(i)+blockSuffix))
		if err != nil {
			return nil, err
		}
		key := fmt.Sprintf("%s-%d", name, i)
		for len(buf) > 0 {
			m, size, ok := decodeRecord(key, buf)
			if !ok {
				break
			}
			buf = buf[size:]
			if m.seq&(erased|tombstone) == 0 {
				all = append(all, m.data)
			}
		}
	}
	return all, nil
}

// decodeRecord reads the record that a buffer begins with, and its size; false
// when there is none that is whole.
func decodeRecord(key string, buf []byte) (message, int, bool) {
	if len(buf) < recordHead+recordSum {
		return message{}, 0, false
	}
	length := binary.LittleEndian.Uint32(buf)
	size := int(length &^ withHeader)
	subject := int(binary.LittleEndian.Uint16(buf[20:]))
	if size < recordHead+subject+recordSum || size > len(buf) {
		return message{}, 0, false
	}
	m := message{
		seq:     binary.LittleEndian.Uint64(buf[4:]),
		ts:      int64(binary.LittleEndian.Uint64(buf[12:])),
		subject: string(buf[recordHead : recordHead+subject]),
		data:    buf[recordHead+subject : size-recordSum],
	}
	if length&withHeader != 0 {
		if len(m.data) < headerLenSize {
			return message{}, 0, false
		}
		n := int(binary.LittleEndian.Uint32(m.data))
		rest := m.data[headerLenSize:]
		if n > len(rest) {
			return message{}, 0, false
		}
		m.hdr, m.data = rest[:n], rest[n:]
	}
	sum := checksum(key, buf[4:20], []byte(m.subject), m.hdr, m.data)
	return m, size, bytes.Equal(sum, buf[size-recordSum:size])
}

// encodeRecord is the inverse of decodeRecord.
func encodeRecord(key string, m message) []byte {
	size := recordHead + len(m.subject) + len(m.data) + recordSum
	if len(m.hdr) > 0 {
		size += headerLenSize + len(m.hdr)
	}
	length := uint32(size)
	if len(m.hdr) > 0 {
		length |= withHeader
	}
	le := binary.LittleEndian
	buf := make([]byte, 0, size)
	buf = le.AppendUint32(buf, length)
	buf = le.AppendUint64(buf, m.seq)
	buf = le.AppendUint64(buf, uint64(m.ts))
	buf = le.AppendUint16(buf, uint16(len(m.subject)))
	buf = append(buf, m.subject...)
	if len(m.hdr) > 0 {
		buf = le.AppendUint32(buf, uint32(len(m.hdr)))
		buf = append(buf, m.hdr...)
	}
	buf = append(buf, m.data...)
	return append(buf, checksum(key, buf[4:20], []byte(m.subject), m.hdr, m.data)...)
}

// writeBlock makes a block file of messages.
func writeBlock(dir, stream string, index int, msgs []message) error {
	key := fmt.Sprintf("%s-%d", stream, index)
	var buf []byte
	for _, m := range msgs {
		buf = append(buf, encodeRecord(key, m)...)
	}
	return os.WriteFile(filepath.Join(dir, strconv.Itoa(index)+blockSuffix), buf, 0o600)
}
