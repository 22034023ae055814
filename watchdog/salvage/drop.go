package salvage

import (
	"context"
	"fmt"
)

// UnsettledError says that an archive holds messages that are nowhere else.
type UnsettledError struct {
	Archive string
	// Counts is what a replay would do.
	Counts Replayed
	// Unverified: the archive is not complete, or was never proved to be.
	Unverified bool
}

// Error says what would be lost.
func (e *UnsettledError) Error() string {
	if e.Unverified {
		return fmt.Sprintf("%s is not verified: it may be incomplete", e.Archive)
	}
	return fmt.Sprintf("%s holds messages that are nowhere else: %d not replayed, %d superseded by newer ones of their subject, "+
		"%d that cannot be replayed", e.Archive, e.Counts.Replayed, e.Counts.Superseded, e.Counts.Failed)
}

// Drop deletes an archive. Unless forced, it refuses with an *UnsettledError while the archive is not verified, or holds
// messages that are neither on the primary nor replayed; only then primary is used.
func Drop(ctx context.Context, archive, primary Side, force bool) error {
	found, err := Find(ctx, archive) // and nothing that is no archive is ever deleted
	if err != nil {
		return fmt.Errorf("drop: %w", err)
	}
	if !force {
		if found.Account == nil {
			return &UnsettledError{Archive: archive.String(), Unverified: true}
		}
		counts, err := Replay(ctx, ReplayJob{Archive: archive, Primary: primary, DryRun: true})
		if err != nil {
			return fmt.Errorf("drop: %w", err)
		}
		if counts.Replayed+counts.Superseded+counts.Failed > 0 {
			return &UnsettledError{Archive: archive.String(), Counts: counts}
		}
	}
	var answer struct {
		Success bool `json:"success"`
	}
	if err := archive.ask(ctx, "STREAM.DELETE."+archive.Stream, nil, &answer); err != nil {
		return fmt.Errorf("drop %s: %w", archive, err)
	}
	if !answer.Success {
		return fmt.Errorf("drop %s: answered without success", archive)
	}
	return nil
}
