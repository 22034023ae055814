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
	if len(b) < envelopeHeader {
		return nil, fmt.Errorf("%w: %d bytes are shorter than an envelope's header", ErrDamaged, len(b))
	}
	if got := kind(b[:4]); got != k {
		return nil, fmt.Errorf("%w: magic is %q, not %q", ErrDamaged, got, k)
	}
	payload := b[envelopeHeader:]
	if n := binary.BigEndian.Uint64(b[8:]); n != uint64(len(payload)) {
		return nil, fmt.Errorf("%w: length says %d bytes, %d are there", ErrDamaged, n, len(payload))
	}
	if want, got := binary.BigEndian.Uint32(b[crcOffset:]), envelopeSum(b); want != got {
		return nil, fmt.Errorf("%w: checksum is %08x, stored is %08x", ErrDamaged, got, want)
	}
	if v := binary.BigEndian.Uint16(b[4:]); v != envelopeVersion {
		return nil, fmt.Errorf("%w: %d, this program knows %d", ErrVersion, v, envelopeVersion)
	}
	return payload, nil
}

func envelopeSum(b []byte) uint32 {
	sum := crc32.Update(0, castagnoli, b[:crcOffset])
	return crc32.Update(sum, castagnoli, b[envelopeHeader:])
}
