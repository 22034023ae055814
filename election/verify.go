package election

import (
	"fmt"
	"slices"

	"github.com/hashicorp/raft"
)

// prepareStores verifies what is stored, and writes the first entry of an empty log.
func prepareStores(s *store, o Options) error {
	last, err := s.LastIndex()
	if err != nil {
		return damaged(s.path, err)
	}
	if last == 0 {
		return bootstrap(s, o)
	}
	return nil
}

// bootstrap writes the static group as the first log entry. It may be repeated: a crash between its two writes leaves
// an entry of term 1 with no current term, which raft takes for term 0 and overtakes with its first election.
func bootstrap(s *store, o Options) error {
	if err := s.SetUint64(keyCurrentTerm, 1); err != nil {
		return fmt.Errorf("bootstrap: %w", err)
	}
	var c raft.Configuration
	for _, id := range slices.Sorted(slices.Values(o.peerIDs())) {
		c.Servers = append(c.Servers, raft.Server{ID: raft.ServerID(id), Address: raft.ServerAddress(id)})
	}
	entry := &raft.Log{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(c)}
	if err := s.StoreLog(entry); err != nil {
		return fmt.Errorf("bootstrap: %w", err)
	}
	return nil
}
