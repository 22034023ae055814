package election

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// An envelope is what this package puts around every command in the log and every snapshot, because neither Raft nor
// its log store carries a checksum: a changed byte would be applied silently. Big endian:
//
//	magic [4] | version u16 | zero u16 | length u64 | CRC32-C u32 | payload [length]
//
// The checksum covers everything but itself. The header's layout and the checksum stay the same in every version, so
// that an older program can tell a newer format from a damaged one.
const (
	envelopeVersion = 1
	envelopeHeader  = 20
	crcOffset       = 16
)

// kind is the magic of an envelope: what it holds.
type kind string

const (
	kindCommand  kind = "USDC"
	kindSnapshot kind = "USDS"
)

// ErrDamaged is wrapped by every error about stored or received bytes that fail their checksum or cannot be read.
var ErrDamaged = errors.New("damaged")

// ErrVersion is wrapped by every error about an intact envelope of a version that this program does not know.
var ErrVersion = errors.New("unknown format version")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal returns payload in an envelope.
func seal(k kind, payload []byte) []byte {
	b := make([]byte, envelopeHeader, envelopeHeader+len(payload))
	copy(b, k)
	binary.BigEndian.PutUint16(b[4:], envelopeVersion)
	binary.BigEndian.PutUint64(b[8:], uint64(len(payload)))
	b = append(b, payload...)
	binary.BigEndian.PutUint32(b[crcOffset:], envelopeSum(b))
	return b
}

// unseal returns the payload of an envelope, which shares b's memory.
func unseal(k kind, b []byte) ([]byte, error) {
	var c envelopeChecker
	_, _ = c.Write(b)
	if err := c.check(k); err != nil {
		return nil, err
	}
	return b[envelopeHeader:], nil
}

func envelopeSum(b []byte) uint32 {
	sum := crc32.Update(0, castagnoli, b[:crcOffset])
	return crc32.Update(sum, castagnoli, b[envelopeHeader:])
}

// envelopeChecker checks an envelope that is written to it, without keeping it.
type envelopeChecker struct {
	head []byte
	sum  uint32 // of the payload so far
	n    uint64
}

// Write implements io.Writer; it never fails.
func (c *envelopeChecker) Write(b []byte) (int, error) {
	total := len(b)
	if missing := envelopeHeader - len(c.head); missing > 0 {
		k := min(missing, len(b))
		c.head = append(c.head, b[:k]...)
		if b = b[k:]; len(c.head) == envelopeHeader {
			c.sum = crc32.Update(0, castagnoli, c.head[:crcOffset])
		}
	}
	c.sum = crc32.Update(c.sum, castagnoli, b)
	c.n += uint64(len(b))
	return total, nil
}

// check judges what was written. The version comes last: it means something only in an intact envelope.
func (c *envelopeChecker) check(k kind) error {
	head := c.head
	if len(head) < envelopeHeader {
		return fmt.Errorf("%w: %d bytes are shorter than an envelope's header", ErrDamaged, len(head))
	}
	if got := kind(head[:4]); got != k {
		return fmt.Errorf("%w: magic is %q, not %q", ErrDamaged, got, k)
	}
	if want := binary.BigEndian.Uint64(head[8:]); want != c.n {
		return fmt.Errorf("%w: length says %d bytes, %d are there", ErrDamaged, want, c.n)
	}
	if want := binary.BigEndian.Uint32(head[crcOffset:]); want != c.sum {
		return fmt.Errorf("%w: checksum is %08x, stored is %08x", ErrDamaged, c.sum, want)
	}
	if v := binary.BigEndian.Uint16(head[4:]); v != envelopeVersion {
		return fmt.Errorf("%w: %d, this program knows %d", ErrVersion, v, envelopeVersion)
	}
	return nil
}
