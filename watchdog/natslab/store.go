package natslab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/understudy-ha/understudy/watchdog/natslab/deadstore"
)

// CopyStore copies the stores of all servers of a site to dst, a folder per
// server, and returns the folders. The servers must be dead or paused: the store
// of a running one changes while it is read.
func (s *Site) CopyStore(dst string) ([]string, error) {
	var dirs []string
	for _, srv := range s.servers {
		dir := filepath.Join(dst, srv.Name)
		if err := os.CopyFS(dir, os.DirFS(srv.StoreDir())); err != nil {
			return nil, fmt.Errorf("copy the store of %s: %w", srv.Name, err)
		}
		dirs = append(dirs, dir)
	}
	return dirs, nil
}

// OpenStore opens folders made by CopyStore for the application's account,
// without any server of the lab.
func OpenStore(ctx context.Context, dirs ...string) (*deadstore.Store, error) {
	return deadstore.Open(ctx, AppAccount, dirs...)
}
