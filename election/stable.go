package election

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"runtime"
	"time"

	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
)

// Set implements raft.StableStore. The candidate of a vote is stored together with its term, see SetUint64.
func (s *store) Set(key, value []byte) error {
	if !bytes.Equal(key, keyLastVoteCand) {
		return s.put(key, value)
	}
	s.voteMu.Lock()
	defer s.voteMu.Unlock()
	return s.put(keyVote, append(binary.BigEndian.AppendUint64(nil, s.voteTerm), value...))
}

// Get implements raft.StableStore.
func (s *store) Get(key []byte) ([]byte, error) {
	if !bytes.Equal(key, keyLastVoteCand) {
		return s.get(key)
	}
	_, candidate, err := s.vote()
	return candidate, err
}

// SetUint64 implements raft.StableStore. Raft writes a vote as two keys; a crash between them would leave the new term
// with the old candidate, and give that candidate a vote it did not earn. So the term waits here for its candidate.
func (s *store) SetUint64(key []byte, value uint64) error {
	switch {
	case bytes.Equal(key, keyLastVoteTerm):
		s.voteMu.Lock()
		defer s.voteMu.Unlock()
		s.voteTerm = value
		return nil
	case bytes.Equal(key, keyCurrentTerm):
		return s.setTerm(value)
	}
	return s.put(key, binary.BigEndian.AppendUint64(nil, value))
}

// GetUint64 implements raft.StableStore.
func (s *store) GetUint64(key []byte) (uint64, error) {
	if bytes.Equal(key, keyLastVoteTerm) {
		term, _, err := s.vote()
		return term, err
	}
	value, err := s.get(key)
	if err != nil {
		return 0, err
	}
	if len(value) != 8 {
		return 0, s.check(fmt.Errorf("%w: key %s has %d bytes, not 8", ErrDamaged, key, len(value)))
	}
	return binary.BigEndian.Uint64(value), nil
}

// setTerm saves the current term, and waits while it cannot: raft panics on an error, and a watchdog with a full disk
// is still worth something as an observer. Raft does nothing meanwhile, which is right: without the term on disk
// it must neither vote nor append.
func (s *store) setTerm(term uint64) error {
	for {
		err := s.put(keyCurrentTerm, binary.BigEndian.AppendUint64(nil, term))
		if err == nil || !s.running.Load() {
			return err
		}
		if s.seldom.may("term") {
			s.log.Error("cannot save raft's term; waiting for the disk", keyTerm, term, keyError, err)
		}
		select {
		case <-s.stop:
			runtime.Goexit() // the node is being closed, and raft would panic on the error
		case <-time.After(retryEvery):
		}
	}
}

func (s *store) vote() (term uint64, candidate []byte, err error) {
	value, err := s.get(keyVote)
	if err != nil {
		return 0, nil, err
	}
	if len(value) < 8 {
		return 0, nil, s.check(fmt.Errorf("%w: the vote has %d bytes, 8 at least", ErrDamaged, len(value)))
	}
	return binary.BigEndian.Uint64(value), value[8:], nil
}

// put stores value with a checksum over key and value.
func (s *store) put(key, value []byte) error {
	sealed := binary.BigEndian.AppendUint32(bytes.Clone(value), stableSum(key, value))
	return s.wrote(s.writes.do(func() error { return s.bolt.Set(key, sealed) }))
}

// get returns what put stored, or errNotFound.
func (s *store) get(key []byte) ([]byte, error) {
	var sealed []byte
	err := guard(func() (err error) { sealed, err = s.bolt.Get(key); return err })
	switch {
	case errors.Is(err, raftboltdb.ErrKeyNotFound):
		return nil, errNotFound
	case err != nil:
		return nil, s.check(fmt.Errorf("key %s: %w", key, err))
	case len(sealed) < sumLen:
		return nil, s.check(fmt.Errorf("%w: key %s has no checksum", ErrDamaged, key))
	}
	value := sealed[:len(sealed)-sumLen]
	want := binary.BigEndian.Uint32(sealed[len(value):])
	if got := stableSum(key, value); got != want {
		return nil, s.check(fmt.Errorf("%w: key %s: checksum is %08x, stored is %08x", ErrDamaged, key, got, want))
	}
	return value, nil
}

func stableSum(key, value []byte) uint32 {
	return crc32.Update(crc32.Update(0, castagnoli, key), castagnoli, value)
}
