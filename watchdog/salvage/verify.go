package salvage

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"sync"
	"time"
)

// MismatchError says that an archive is not what the old origin holds. Nothing may be deleted then.
type MismatchError struct {
	Stream  string
	Tail    Account // as read from the old origin
	Archive Account // as read back
	// Damage is set when the archive does not even read as one.
	Damage error
}

// Error says which of count and digest differ.
func (e *MismatchError) Error() string {
	if e.Damage != nil {
		return fmt.Sprintf("%s does not hold the tail: %v", e.Stream, e.Damage)
	}
	return fmt.Sprintf("%s does not hold the tail: %d messages of digest %.16s, but the origin has %d of digest %.16s",
		e.Stream, e.Archive.Messages, e.Archive.Digest, e.Tail.Messages, e.Tail.Digest)
}

// Unwrap returns the damage.
func (e *MismatchError) Unwrap() error { return e.Damage }

// summary adds messages up to an account.
type summary struct {
	Account
	since time.Time
	h     hash.Hash
}

func newSummary(since time.Time) *summary { return &summary{since: since, h: sha256.New()} }

func (s *summary) add(m *message) {
	if s.Messages++; s.First == 0 {
		s.First, s.FirstAt = m.seq, m.at
	}
	s.Last, s.LastAt = m.seq, m.at
	if !s.since.IsZero() && m.at.After(s.since) {
		s.capture(m)
	}
	s.Bytes += uint64(m.size())
	m.addTo(s.h)
}

func (s *summary) capture(m *message) {
	c := &s.Captured
	if c.Messages++; c.First == 0 {
		c.First, c.FirstAt = m.seq, m.at
	}
	c.Last, c.LastAt = m.seq, m.at
}

func (s *summary) account(stream string, fork uint64) Account {
	s.Stream, s.Fork, s.Digest = stream, fork, hex.EncodeToString(s.h.Sum(nil))
	return s.Account
}

// verify compares count and digest of the tail, as it was read from the old origin, with those of the archive, which is
// read back in full. A job that did not read the whole tail itself reads it now.
func (a *archiver) verify(ctx context.Context) (Account, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		wg       sync.WaitGroup
		archived *summary
		bad      error
	)
	wg.Go(func() {
		if archived, bad = readBack(ctx, a.archive, a.Since); bad != nil {
			cancel()
		}
	})
	err := a.readTail(ctx)
	if err != nil {
		cancel()
	}
	wg.Wait()
	switch {
	case isDamage(bad):
		return Account{}, &MismatchError{Stream: a.archive.Stream, Damage: bad}
	case bad != nil && !errors.Is(bad, context.Canceled):
		return Account{}, fmt.Errorf("verify: %w", bad)
	case err != nil || bad != nil:
		return Account{}, fmt.Errorf("verify: %w", cmp.Or(err, bad))
	}
	want, got := a.tail.account(a.archive.Stream, a.fork), archived.account(a.archive.Stream, a.fork)
	if got.Messages != want.Messages || got.Digest != want.Digest {
		return got, &MismatchError{Stream: a.archive.Stream, Tail: want, Archive: got}
	}
	a.report(StageVerify, a.last, true)
	return got, nil
}

// readTail adds the tail up, unless that was done while it was copied.
func (a *archiver) readTail(ctx context.Context) error {
	if a.tail != nil {
		return nil
	}
	tail := newSummary(a.Since)
	a.bytes = 0
	err := a.Old.scan(ctx, a.fork+1, a.last, func(m *message) error {
		tail.add(m)
		a.bytes += uint64(m.size())
		a.report(StageVerify, m.seq, tail.Messages%progressEvery == 0)
		return nil
	})
	a.tail = tail
	return err
}
