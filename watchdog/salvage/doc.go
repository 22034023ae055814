// Package salvage keeps what a failover left behind. The old origin of a stream comes back with messages that the new
// primary lacks: its tail. This package finds where the two part (Fork), copies all that the old origin holds above
// that to an archive at the new primary's site and proves the copy (Archive), and lets people list, show, export,
// replay and drop archives.
//
// It decides nothing, and it never writes to a guarded stream except by Replay, which publishes as any application
// does. Whoever calls Archive has parked and sealed the old origin before. A connection belongs to one job: when it is
// lost the job fails, and may be called again, since every job goes on where the last one ended.
//
// Start reading at Archive in archive.go; DESIGN.md has the format and says why nothing is archived or replayed twice.
package salvage
