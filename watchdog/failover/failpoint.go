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
	// failpointsEnv lists the failpoints at which this process kills itself: "after-open-promote@EVENTS,...". Those joined by
	// a plus sign share one death: whoever meets one of them waits for the others.
	failpointsEnv = "UNDERSTUDY_FAILPOINTS"
	// failpointDirEnv names a folder in which each failpoint that was met leaves a file: it kills once in a group.
	failpointDirEnv = "UNDERSTUDY_FAILPOINT_DIR"
	// waitsEnv lists the failpoints at which this process leaves such a file and waits for another, of the same name and
	// released, instead.
	waitsEnv = "UNDERSTUDY_FAILPOINT_WAITS"
	released = ".released"
	// waitsFor limits such a wait, and that for the others of a shared death: a test then says what was not met.
	waitsFor = 30 * time.Second
)

// failpoint ends the process as a power cut would, when its environment lists the point for the stream. Its caller never goes
// on.
func failpoint(stream, point string) {
	name := point + "@" + stream
	if slices.Contains(strings.Split(os.Getenv(waitsEnv), ","), name) {
		leave(name)
		awaitFiles(name + released)
		return
	}
	together := sharing(name)
	if len(together) == 0 || !leave(name) {
		return // or it has killed already
	}
	awaitFiles(together...)
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // the signal is on its way
}

// sharing are the failpoints that share the death of one, itself included; none when it is not listed.
func sharing(name string) []string {
	for _, group := range strings.Split(os.Getenv(failpointsEnv), ",") {
		if list := strings.Split(group, "+"); slices.Contains(list, name) {
			return list
		}
	}
	return nil
}

// leave makes a failpoint's file, and reports whether it was not there.
func leave(name string) bool {
	f, err := os.OpenFile(filepath.Join(os.Getenv(failpointDirEnv), name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return false
	}
	f.Close()
	return true
}

// awaitFiles holds the caller up until all of these files are there.
func awaitFiles(names ...string) {
	began := time.Now()
	for _, name := range names {
		for time.Since(began) < waitsFor {
			if _, err := os.Stat(filepath.Join(os.Getenv(failpointDirEnv), name)); err == nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}
