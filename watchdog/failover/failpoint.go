//go:build failpoint

package failover

import (
	"fmt"
	"os"
	"syscall"
)

// failpointEnv names the failpoint at which this process kills itself.
const failpointEnv = "UNDERSTUDY_FAILPOINT"

// failpoint ends the process as a power cut would, when it is the one that the environment names. A file beside
// failpointEnv+"_ONCE" makes sure that only the first of several watchdogs dies.
func failpoint(name string) {
	if os.Getenv(failpointEnv) != name {
		return
	}
	if once := os.Getenv(failpointEnv + "_ONCE"); once != "" {
		f, err := os.OpenFile(once, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return // another one died here already
		}
		fmt.Fprintln(f, name)
		f.Close()
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // the signal is on its way
}
