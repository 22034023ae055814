package election

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
)

const (
	storeFile   = "raft.db"
	lockFile    = "lock"
	lockTimeout = 2 * time.Second        // another process holds the store
	retryEvery  = 200 * time.Millisecond // a term that could not be saved is tried again
	sumLen      = 4
)

// Keys of the stable store. Raft's two of a vote are kept under one of ours, so that a crash cannot part them.
var (
	keyCurrentTerm  = []byte("CurrentTerm")
	keyLastVoteTerm = []byte("LastVoteTerm")
	keyLastVoteCand = []byte("LastVoteCand")
	keyVote         = []byte("Vote")
	keyNode         = []byte("Node") // whose store it is
)

// stableKeys are the keys that can be in the file: a key with a changed letter is a lost one.
var stableKeys = map[string]bool{string(keyCurrentTerm): true, string(keyVote): true, string(keyNode): true}

// errStepDown is what the log store answers to the step-down entry; see stepDownEntry.
var errStepDown = errors.New("stepping down on purpose")

// stepDownEntry is a command that the log store refuses. Raft has no call to step down, but a leader whose log store
// fails does so at once. It is not an envelope, so no command can be taken for it, and it is never stored.
var stepDownEntry = []byte("step down")

// errNotFound has the text by which raft knows that a key was never set.
var errNotFound = errors.New("not found")

// records is what the store is built on: bolt, or what a test puts around it.
type records interface {
	raft.LogStore
	raft.StableStore
	io.Closer
}

// store is raft's log and stable store: bolt with a checksum on every record, because bolt has none on its data.
type store struct {
	bolt  records
	lock  *os.File
	path  string
	log   *slog.Logger
	fatal func(error)

	seldom *seldom
	stop   chan struct{} // closed when the node stops

	// running is set once raft's goroutines call: from then on damage stops the node.
	running atomic.Bool
	// failing is the last write's error, until a write succeeds.
	failing atomic.Pointer[error]
	writes  writes

	indexes []uint64 // of the log entries that were there when the file was opened

	voteMu   sync.Mutex
	voteTerm uint64 // set by raft, not yet stored: its candidate follows
}

// openStore locks the directory, verifies the bolt file in it, and opens or creates it.
func openStore(dir string, log *slog.Logger, fatal func(error)) (*store, error) {
	s := &store{path: filepath.Join(dir, storeFile), log: log, stop: make(chan struct{}), fatal: fatal,
		seldom: newSeldom()}
	var err error
	if s.lock, err = lockDir(dir); err != nil {
		return nil, err
	}
	if s.indexes, err = checkPages(s.path); err == nil {
		err = guard(s.openBolt)
	}
	if err != nil {
		s.lock.Close()
		return nil, openError(s.path, err)
	}
	return s, nil
}

func (s *store) openBolt() error {
	opts := raftboltdb.Options{Path: s.path, BoltOptions: &bbolt.Options{Timeout: lockTimeout}}
	bolt, err := raftboltdb.New(opts)
	s.bolt = bolt
	return err
}

// lockDir keeps other processes out of a data directory until the file is closed. It waits a little for one that is
// just ending. Bolt has a lock of its own, but takes it after the file was verified.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	for end := time.Now().Add(lockTimeout); ; time.Sleep(lockTimeout / 40) {
		if err = tryLock(f); err == nil {
			return f, nil
		}
		if time.Now().After(end) {
			f.Close()
			return nil, fmt.Errorf("data directory %s is used by another process: %w", dir, err)
		}
	}
}

// openError explains why a bolt file cannot be opened.
func openError(path string, err error) error {
	switch {
	case errors.Is(err, bbolt.ErrTimeout):
		return fmt.Errorf("open %s: another process uses it", path)
	case errors.Is(err, bbolt.ErrInvalid), errors.Is(err, bbolt.ErrChecksum), errors.Is(err, bbolt.ErrVersionMismatch),
		errors.Is(err, ErrDamaged):
		return damaged(path, err)
	default:
		return fmt.Errorf("open %s: %w", path, err)
	}
}

// guard runs f and turns a panic, or a fault in the mapped file, into an error: bolt panics on damaged pages.
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, p)
		}
	}()
	return f()
}

// damaged names the file and what to do about it.
func damaged(path string, err error) error {
	if !errors.Is(err, ErrDamaged) {
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return fmt.Errorf("%s: %w: move the data directory away, and this node rejoins from its peers with an empty one; "+
		"never remove the stores of a majority of the peers", path, err)
}

func (s *store) close() error { return errors.Join(s.bolt.Close(), s.lock.Close()) }

// FirstIndex implements raft.LogStore.
func (s *store) FirstIndex() (i uint64, err error) {
	err = guard(func() error { i, err = s.bolt.FirstIndex(); return err })
	return i, s.check(err)
}

// LastIndex implements raft.LogStore.
func (s *store) LastIndex() (i uint64, err error) {
	err = guard(func() error { i, err = s.bolt.LastIndex(); return err })
	return i, s.check(err)
}

// GetLog implements raft.LogStore.
func (s *store) GetLog(index uint64, entry *raft.Log) error {
	err := guard(func() error { return s.bolt.GetLog(index, entry) })
	switch {
	case errors.Is(err, raft.ErrLogNotFound):
		return raft.ErrLogNotFound
	case err == nil && entry.Index != index:
		err = fmt.Errorf("%w: it says that it is entry %d", ErrDamaged, entry.Index)
	case err == nil:
		err = openEntry(entry)
	default:
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err != nil {
		return s.check(fmt.Errorf("log entry %d: %w", index, err))
	}
	return nil
}

// StoreLog implements raft.LogStore.
func (s *store) StoreLog(entry *raft.Log) error { return s.StoreLogs([]*raft.Log{entry}) }

// StoreLogs implements raft.LogStore.
func (s *store) StoreLogs(entries []*raft.Log) error {
	sealed := make([]*raft.Log, len(entries))
	for i, e := range entries {
		if bytes.Equal(e.Data, stepDownEntry) {
			return errStepDown
		}
		sealed[i] = sealEntry(e)
	}
	return s.wrote(s.writes.do(func() error { return s.bolt.StoreLogs(sealed) }))
}

// DeleteRange implements raft.LogStore.
func (s *store) DeleteRange(low, high uint64) error {
	return s.wrote(s.writes.do(func() error { return s.bolt.DeleteRange(low, high) }))
}

// sealEntry returns a copy with a checksum behind its Extensions, the field that raft leaves to log stores.
func sealEntry(e *raft.Log) *raft.Log {
	c := *e
	c.Extensions = binary.BigEndian.AppendUint32(bytes.Clone(e.Extensions), entrySum(e))
	return &c
}

// openEntry checks and removes what sealEntry added.
func openEntry(e *raft.Log) error {
	n := len(e.Extensions) - sumLen
	if n < 0 {
		return fmt.Errorf("%w: no checksum", ErrDamaged)
	}
	want := binary.BigEndian.Uint32(e.Extensions[n:])
	if e.Extensions = e.Extensions[:n]; n == 0 {
		e.Extensions = nil
	}
	if got := entrySum(e); got != want {
		return fmt.Errorf("%w: checksum is %08x, stored is %08x", ErrDamaged, got, want)
	}
	return nil
}

func entrySum(e *raft.Log) uint32 {
	var head [25]byte
	binary.BigEndian.PutUint64(head[0:], e.Index)
	binary.BigEndian.PutUint64(head[8:], e.Term)
	head[16] = byte(e.Type)
	binary.BigEndian.PutUint64(head[17:], uint64(len(e.Data)))
	sum := crc32.Update(0, castagnoli, head[:])
	sum = crc32.Update(sum, castagnoli, e.Data)
	return crc32.Update(sum, castagnoli, e.Extensions)
}

// wrote remembers whether the last write succeeded.
func (s *store) wrote(err error) error {
	if err == nil {
		s.failing.Store(nil)
		return nil
	}
	err = fmt.Errorf("write %s: %w", s.path, err)
	s.failing.Store(&err)
	return s.check(err)
}

// check passes err on, and stops the node when it means damage while raft runs.
func (s *store) check(err error) error {
	if err == nil || !errors.Is(err, ErrDamaged) || !s.running.Load() {
		return err
	}
	s.fatal(damaged(s.path, err))
	if calledBy("processLogs") {
		runtime.Goexit() // raft would panic on the error; everywhere else it can bear one
	}
	return err
}

// calledBy reports whether one of raft's methods is among the callers.
func calledBy(method string) bool {
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	for more := true; more; {
		var f runtime.Frame
		f, more = frames.Next()
		if strings.HasSuffix(f.Function, "raft.(*Raft)."+method) {
			return true
		}
	}
	return false
}
