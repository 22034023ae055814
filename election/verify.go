package election

import (
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/raft"
)

// ErrOtherStore is wrapped by the errors about a store that is sound, but of another node or of another group.
var ErrOtherStore = errors.New("not the store of this node and group")

// stored is what a start finds on disk.
type stored struct {
	indexes  []uint64 // of the log entries, ascending
	term     uint64   // raft's current term
	snapshot *raft.SnapshotMeta
	config   raft.Configuration // the newest, from the log or the snapshot
}

// prepareStores verifies all that is stored before raft may read it, and writes the first entry of an empty log.
func prepareStores(s *store, snaps *snapshots, o Options) error {
	found := stored{indexes: s.indexes}
	if err := found.readKeys(s, o.ID); err != nil {
		return err
	}
	var err error
	if found.snapshot, err = snaps.newest(); err != nil {
		return err
	}
	if found.snapshot != nil {
		found.config = found.snapshot.Configuration
	}
	if len(s.indexes) == 0 && found.snapshot == nil && found.term <= 1 {
		return bootstrap(s, o)
	}
	if err := found.readLog(s); err != nil {
		return describe(s.path, err)
	}
	return found.sameGroup(s.path, o)
}

// describe adds the file and the remedy to an error about stored bytes.
func describe(path string, err error) error {
	if errors.Is(err, ErrVersion) {
		return fmt.Errorf("%s: %w: run a program at least as new as the one that wrote it", path, err)
	}
	return damaged(path, err)
}

// readKeys reads raft's own keys, and checks that the store is this node's.
func (f *stored) readKeys(s *store, id string) error {
	node, err := s.get(keyNode)
	switch {
	case errors.Is(err, errNotFound):
	case err != nil:
		return damaged(s.path, err)
	case string(node) != id:
		return fmt.Errorf("%w: %s is the store of node %q, this is %q: each node needs a data directory of its own",
			ErrOtherStore, s.path, node, id)
	}
	if f.term, err = s.GetUint64(keyCurrentTerm); err != nil && !errors.Is(err, errNotFound) {
		return damaged(s.path, err)
	}
	if _, _, err = s.vote(); err != nil && !errors.Is(err, errNotFound) {
		return damaged(s.path, err)
	}
	return nil
}

// readLog reads every entry, and checks that those above the snapshot follow each other.
func (f *stored) readLog(s *store) error {
	next, term := uint64(1), uint64(0)
	if f.snapshot != nil {
		next, term = f.snapshot.Index+1, f.snapshot.Term
	}
	if term > f.term {
		return fmt.Errorf("%w: a snapshot is of term %d, the current term is %d", ErrDamaged, term, f.term)
	}
	for _, index := range f.indexes {
		var e raft.Log
		if err := s.GetLog(index, &e); err != nil {
			return err
		}
		if e.Type == raft.LogCommand {
			if _, err := unseal(kindCommand, e.Data); err != nil {
				return fmt.Errorf("log entry %d: %w", index, err)
			}
		}
		if index < next {
			continue // older than the snapshot: kept for peers that lag, and may have gaps
		}
		if index > next {
			return fmt.Errorf("%w: log entry %d is missing", ErrDamaged, next)
		}
		if e.Term < term || e.Term > f.term {
			return fmt.Errorf("%w: log entry %d is of term %d, the one before of %d, the current term is %d",
				ErrDamaged, index, e.Term, term, f.term)
		}
		next, term = index+1, e.Term
		if e.Type == raft.LogConfiguration {
			if err := guard(func() error { f.config = raft.DecodeConfiguration(e.Data); return nil }); err != nil {
				return fmt.Errorf("log entry %d: %w", index, err)
			}
		}
	}
	return nil
}

// sameGroup compares the stored group with the configured one: nodes that disagree about it could elect two leaders.
func (f *stored) sameGroup(path string, o Options) error {
	var ids []string
	for _, server := range f.config.Servers {
		ids = append(ids, string(server.ID))
	}
	slices.Sort(ids)
	if want := o.peerIDs(); !slices.Equal(ids, want) {
		return fmt.Errorf("%w: %s belongs to a group of peers %q, configured are %q: configure the same peers, or, to begin "+
			"a new group that knows nothing, move the data directories of all nodes away", ErrOtherStore, path, ids, want)
	}
	return nil
}

// bootstrap writes the static group as the first log entry. A crash in between leaves an empty log of term 1, and it
// is done again.
func bootstrap(s *store, o Options) error {
	var c raft.Configuration
	for _, id := range o.peerIDs() {
		c.Servers = append(c.Servers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(id)})
	}
	entry := &raft.Log{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(c)}
	err := errors.Join(s.put(keyNode, []byte(o.ID)), s.setTerm(1))
	if err == nil {
		err = s.StoreLog(entry)
	}
	if err != nil {
		return fmt.Errorf("write the first log entry: %w", err)
	}
	return nil
}
