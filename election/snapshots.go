package election

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/raft"
)

// retainSnapshots is 1, because an older snapshot must never stand in for a newer one that cannot be read: the log
// between them may be gone.
const retainSnapshots = 1

// snapshots is raft's file snapshot store, which in addition opens no file but a whole envelope, and stores none.
type snapshots struct {
	*raft.FileSnapshotStore
	dir   string
	log   *slog.Logger
	fatal func(error)
}

func openSnapshots(dataDir string, log *slog.Logger, fatal func(error)) (*snapshots, error) {
	files, err := raft.NewFileSnapshotStoreWithLogger(dataDir, retainSnapshots, newRaftLogger(log))
	if err != nil {
		return nil, fmt.Errorf("open the snapshots in %s: %w", dataDir, err)
	}
	return &snapshots{FileSnapshotStore: files, dir: filepath.Join(dataDir, "snapshots"), log: log, fatal: fatal}, nil
}

// newest returns the newest snapshot after checking its bytes, or nil when there is none. Raft alone would pass over
// one that it cannot read.
func (s *snapshots) newest() (*raft.SnapshotMeta, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("list the snapshots: %w", err)
	}
	var name string
	var id [3]uint64
	for _, e := range entries {
		found, ok := parseSnapshotName(e.Name())
		if !e.IsDir() || !ok {
			continue
		}
		if name == "" || less(id, found) {
			name, id = e.Name(), found
		}
	}
	if name == "" {
		return nil, nil
	}
	meta, err := s.read(name)
	if err != nil {
		return nil, describe(filepath.Join(s.dir, name), err)
	}
	return meta, nil
}

// parseSnapshotName reads what raft names a snapshot after: term, index, time.
func parseSnapshotName(name string) (id [3]uint64, ok bool) {
	var rest string
	n, _ := fmt.Sscanf(strings.ReplaceAll(name, "-", " ")+" .", "%d %d %d %s", &id[0], &id[1], &id[2], &rest)
	return id, n == 4 && rest == "."
}

func less(a, b [3]uint64) bool {
	for i := range a {
		if a[i] != b[i] {
			return a[i] < b[i]
		}
	}
	return false
}

// read checks one snapshot: raft's checksum of the file, and the envelope in it.
func (s *snapshots) read(name string) (*raft.SnapshotMeta, error) {
	meta, r, err := s.Open(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	defer r.Close()
	var c envelopeChecker
	if _, err := io.Copy(&c, r); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return meta, c.check(kindSnapshot)
}

// Create implements raft.SnapshotStore.
func (s *snapshots) Create(v raft.SnapshotVersion, index, term uint64, c raft.Configuration, ci uint64,
	t raft.Transport) (raft.SnapshotSink, error) {
	sink, err := s.FileSnapshotStore.Create(v, index, term, c, ci, t)
	if err != nil {
		return nil, err
	}
	return &checkedSink{SnapshotSink: sink, fatal: s.fatal}, nil
}

// checkedSink stores a snapshot only if it is a whole envelope of a known version: a leader may be of a newer program,
// and its snapshot must not replace what this program can read.
type checkedSink struct {
	raft.SnapshotSink
	checker envelopeChecker
	fatal   func(error)
}

// Write implements io.Writer.
func (s *checkedSink) Write(b []byte) (int, error) {
	n, err := s.SnapshotSink.Write(b)
	_, _ = s.checker.Write(b[:n])
	return n, err
}

// Close implements io.Closer.
func (s *checkedSink) Close() error {
	err := s.checker.check(kindSnapshot)
	if err == nil {
		return s.SnapshotSink.Close()
	}
	err = fmt.Errorf("snapshot %s was received and not stored: %w", s.ID(), err)
	if errors.Is(err, ErrVersion) {
		s.fatal(fmt.Errorf("%w: run a program at least as new as the leader's", err))
	}
	return errors.Join(err, s.Cancel())
}
