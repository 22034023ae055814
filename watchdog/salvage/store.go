package salvage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/understudy-ha/understudy/watchdog/natslab/deadstore"
)

// Store is a stream in a copy of the store folders of dead servers, behind a server of this process that listens nowhere.
type Store struct {
	Side    // to be the Old of a Job
	Account string
	store   *deadstore.Store
}

// OpenStore opens copies of what the servers of a site had as their store_dir, or a folder of such copies: of a clustered
// site as many as there are, since each server may have got less than the others. It writes into them, so never give it
// a folder that a server is to use again. account may be "" unless several hold a stream of that name. Close ends it.
func OpenStore(ctx context.Context, stream, account string, dirs ...string) (*Store, error) {
	dirs, err := storeDirs(dirs)
	if err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	if account == "" {
		if account, err = accountOf(stream, dirs); err != nil {
			return nil, fmt.Errorf("open the store: %w", err)
		}
	}
	store, err := deadstore.Open(ctx, account, dirs...)
	if err != nil {
		return nil, err
	}
	_, nc, err := store.Stream(ctx, stream)
	if err != nil {
		store.Close()
		return nil, err
	}
	return &Store{Side: Side{Site: Site{Name: "store", Conn: nc}, Stream: stream}, Account: account, store: store}, nil
}

// Close ends the servers. The folders stay.
func (s *Store) Close() { s.store.Close() }

// storeDirs takes a folder for what it is, or for what is in it.
func storeDirs(dirs []string) ([]string, error) {
	var all []string
	for _, dir := range dirs {
		found, err := filepath.Glob(filepath.Join(escape(dir), "*", "jetstream"))
		if err != nil {
			return nil, err
		}
		if _, err := os.Stat(filepath.Join(dir, "jetstream")); err == nil {
			found = []string{filepath.Join(dir, "jetstream")}
		}
		if len(found) == 0 {
			return nil, fmt.Errorf("%s holds no folder named jetstream, nor does a folder in it: give a copy of a nats-server's store_dir", dir)
		}
		for _, f := range found {
			all = append(all, filepath.Dir(f))
		}
	}
	return all, nil
}

// accountOf finds the account that has a stream.
func accountOf(stream string, dirs []string) (string, error) {
	var accounts []string
	for _, dir := range dirs {
		found, err := filepath.Glob(filepath.Join(escape(dir), "jetstream", "*", "streams", escape(stream)))
		if err != nil {
			return "", err
		}
		for _, f := range found {
			accounts = append(accounts, filepath.Base(filepath.Dir(filepath.Dir(f))))
		}
	}
	slices.Sort(accounts)
	switch accounts = slices.Compact(accounts); len(accounts) {
	case 0:
		return "", fmt.Errorf("stream %s: %w", stream, deadstore.ErrNoSuchStream)
	case 1:
		return accounts[0], nil
	}
	return "", errors.New("stream " + stream + " is in several accounts: name one of " + strings.Join(accounts, ", "))
}

// escape makes a name match itself only.
func escape(name string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(name)
}
