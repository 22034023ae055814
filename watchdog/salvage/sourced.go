package salvage

import (
	"context"
	"fmt"
	"slices"
)

// sourceHeader says where a stream took a message from.
const sourceHeader = "Nats-Stream-Source"

// A search for source headers reads backwards in ranges that grow: the newest messages mostly tell.
const (
	firstRange   = 16
	longestRange = 8192
)

// SourceHeaders calls each with the Nats-Stream-Source header of every message of a stream that has one, newest first, until
// it wants no more. It reads as scan does: of a stream of any retention, without a trace on it.
func (s Side) SourceHeaders(ctx context.Context, last uint64, each func(header string) (more bool)) error {
	info, err := s.info(ctx)
	if err != nil {
		return fmt.Errorf("read %s: %w", s, err)
	}
	first := max(info.State.FirstSeq, 1)
	for n, hi := uint64(firstRange), last; hi >= first; n = min(4*n, longestRange) {
		lo := max(first, hi-min(n, hi)+1)
		var headers []string
		err := s.scan(ctx, lo, hi, func(m *message) error {
			if h := m.value(sourceHeader); h != "" {
				headers = append(headers, h)
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, h := range slices.Backward(headers) {
			if !each(h) {
				return nil
			}
		}
		hi = lo - 1
	}
	return nil
}
