//go:build failpoint

package failover

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

const (
	// failpointsEnv lists the failpoints at which this process kills itself: "after-open-promote@EVENTS,...".
	failpointsEnv = "UNDERSTUDY_FAILPOINTS"
	// failpointDirEnv names a folder in which each failpoint that was met leaves a file: it kills once in a group.
	failpointDirEnv = "UNDERSTUDY_FAILPOINT_DIR"
)

// failpoint ends the process as a power cut would, when its environment lists the point for the stream.
func failpoint(stream, point string) {
	name := point + "@" + stream
	if !slices.Contains(strings.Split(os.Getenv(failpointsEnv), ","), name) {
		return
	}
	f, err := os.OpenFile(filepath.Join(os.Getenv(failpointDirEnv), name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return // it has killed already
	}
	f.Close()
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // the signal is on its way
}
