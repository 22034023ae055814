//go:build failpoint

package failover

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	// failpointsEnv lists the failpoints at which this process kills itself: "after-open-promote@EVENTS,...".
	failpointsEnv = "UNDERSTUDY_FAILPOINTS"
	// failpointDirEnv names a folder in which each failpoint that was met leaves a file: it kills once in a group.
	failpointDirEnv = "UNDERSTUDY_FAILPOINT_DIR"
	// grace is how long the process lives on without the one that met a failpoint: in it others may meet theirs, on behalf of
	// other streams, and all are cut off by one death.
	grace = 100 * time.Millisecond
	// waitsEnv lists the failpoints at which this process leaves such a file and waits for another, of the same name and
	// released, instead.
	waitsEnv = "UNDERSTUDY_FAILPOINT_WAITS"
	released = ".released"
	// waitsFor limits such a wait.
	waitsFor = 30 * time.Second
)

// failpoint ends the process as a power cut would, when its environment lists the point for the stream. Its caller never goes
// on.
func failpoint(stream, point string) {
	name := point + "@" + stream
	if slices.Contains(strings.Split(os.Getenv(waitsEnv), ","), name) {
		awaitRelease(name)
		return
	}
	if !slices.Contains(strings.Split(os.Getenv(failpointsEnv), ","), name) {
		return
	}
	f, err := os.OpenFile(filepath.Join(os.Getenv(failpointDirEnv), name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return // it has killed already
	}
	f.Close()
	time.Sleep(grace)
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // the signal is on its way
}

// awaitRelease holds the caller up until a test lets it go.
func awaitRelease(name string) {
	file := filepath.Join(os.Getenv(failpointDirEnv), name)
	if f, err := os.Create(file); err == nil {
		f.Close()
	}
	for began := time.Now(); time.Since(began) < waitsFor; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(file + released); err == nil {
			return
		}
	}
}
