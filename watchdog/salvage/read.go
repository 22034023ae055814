package salvage

import (
	"context"
	"errors"
	"fmt"
)

func isDamage(err error) bool { return errors.Is(err, errDamaged) }

// unpack reads an archive from one of its own sequences on, and calls each with every whole message. A missing sequence
// is damage, since an archive has no gaps.
func unpack(ctx context.Context, archive Side, each func(*parcel) error) error {
	u, next := &unpacker{}, uint64(1)
	err := archive.scan(ctx, 1, maxSeq, func(m *message) error {
		if m.seq != next {
			return fmt.Errorf("%w: message %d is missing", errDamaged, next)
		}
		next++
		p, err := u.add(m)
		if p == nil || err != nil {
			return err
		}
		return each(p)
	})
	if err != nil {
		return err
	}
	return u.done()
}

// readBack adds up what an archive holds.
func readBack(ctx context.Context, archive Side) (*summary, error) {
	s := newSummary()
	err := unpack(ctx, archive, func(p *parcel) error {
		s.add(p.message)
		if p.onPrimary > 0 {
			s.OnPrimary++
		}
		return nil
	})
	return s, err
}
