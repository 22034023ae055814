package salvage

import (
	"context"
	"errors"
	"fmt"
)

// Fork finds the highest sequence at which the old origin and the new primary hold the identical message: subject,
// headers, data and the time at which it was stored. 0: they have nothing in common. upTo is the primary's last
// sequence at its promotion, 0 when unknown; above it, nothing can be identical.
//
// A mirror holds what its origin held, up to some sequence; from there on each has its own. So identity is a property
// of a prefix, and is searched by bisection. Messages that one side lacks (deleted there, or removed by its limits) say
// nothing and are passed over.
func Fork(ctx context.Context, old, primary Side, upTo uint64) (uint64, error) {
	f := &forkSearch{old: old, primary: primary}
	top, bottom, err := f.bounds(ctx, upTo)
	if err != nil {
		return 0, fmt.Errorf("find the fork of %s and %s: %w", old, primary, err)
	}
	var fork uint64
	for low, high := bottom, top; low <= high; { // identical below low, not identical or unknown above high
		middle := low + (high-low)/2
		seq, same, err := f.compare(ctx, middle, high)
		switch {
		case err != nil:
			return 0, fmt.Errorf("find the fork of %s and %s: %w", old, primary, err)
		case same:
			fork, low = seq, seq+1
		default: // they differ at seq, or share no sequence from middle to high
			high = middle - 1
		}
	}
	return fork, nil
}

type forkSearch struct{ old, primary Side }

// bounds are the sequences that both may hold.
func (f *forkSearch) bounds(ctx context.Context, upTo uint64) (top, bottom uint64, err error) {
	old, err := f.old.info(ctx)
	if err != nil {
		return 0, 0, err
	}
	primary, err := f.primary.info(ctx)
	if err != nil {
		return 0, 0, err
	}
	top = min(old.State.LastSeq, primary.State.LastSeq)
	if upTo > 0 {
		top = min(top, upTo)
	}
	return top, max(old.State.FirstSeq, primary.State.FirstSeq, 1), nil
}

// compare compares the first sequence from low to high that both hold; same is false, too, when there is none.
func (f *forkSearch) compare(ctx context.Context, low, high uint64) (seq uint64, same bool, err error) {
	for seq = low; seq <= high; {
		o, err := f.old.from(ctx, seq)
		if errors.Is(err, errNoMessage) {
			return 0, false, nil
		} else if err != nil {
			return 0, false, err
		}
		p, err := f.primary.from(ctx, o.seq)
		if errors.Is(err, errNoMessage) {
			return 0, false, nil
		} else if err != nil {
			return 0, false, err
		}
		if o.seq == p.seq {
			return o.seq, o.seq <= high && o.same(p), nil
		}
		seq = p.seq
	}
	return 0, false, nil
}
