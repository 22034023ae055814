//go:build !failpoint

package failover

// failpoint does nothing in an ordinary build.
func failpoint(_, _ string) {}
