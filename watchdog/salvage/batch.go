package salvage

import "context"

// keptBytes bounds the messages of a batch that are kept in memory; the others are read again.
const keptBytes = 32 << 20

// batch is as much of the tail as is compared with the primary at once.
type batch struct {
	first, last uint64            // origin sequences; last 0: it is empty
	on          map[uint64]uint64 // origin sequence → sequence on the primary, for those that it has
	kept        []*message        // the first of its messages
	seqs        []uint64          // of all its messages
	keys        []key             // the same
	counted     map[key]bool      // the keys that only counting tells apart
}

// batch reads the next messages of the tail, and finds out which of them the primary has.
func (a *archiver) batch(ctx context.Context, from uint64) (*batch, error) {
	b := &batch{first: from, on: map[uint64]uint64{}, counted: map[key]bool{}}
	beyond, err := a.beyond(ctx)
	if err != nil {
		return nil, err
	}
	kept := 0
	err = a.Old.scan(ctx, from, a.last, func(m *message) error {
		if kept += m.size(); kept <= keptBytes {
			b.kept = append(b.kept, m)
		}
		k, counted := m.key()
		if b.seqs, b.keys = append(b.seqs, m.seq), append(b.keys, k); counted {
			b.counted[k] = true
		}
		b.last = m.seq
		if n := len(b.seqs); n >= tallied || kept > keptBytes && n >= perPass*beyond {
			return errEnough
		}
		return nil
	})
	if err != nil || b.last == 0 {
		return b, err
	}
	return b, a.mark(ctx, b)
}

// perPass is how many times as many messages a batch must have as a pass over the primary reads, before it ends for the
// memory that it takes.
const perPass = 2

// beyond is about how many messages the primary has above the fork.
func (a *archiver) beyond(ctx context.Context) (int, error) {
	info, err := a.Primary.info(ctx)
	if err != nil {
		return 0, err
	}
	return int(min(info.State.LastSeq-min(info.State.LastSeq, a.fork), tallied)), nil
}

// mark compares a batch with what the primary holds above the fork.
func (a *archiver) mark(ctx context.Context, b *batch) error {
	t := newTally()
	for _, k := range b.keys {
		t.want(k)
	}
	if err := t.look(ctx, a.Primary, a.fork+1, maxSeq); err != nil {
		return err
	}
	if t.contended(b.counted) && b.first > a.fork+1 {
		if err := a.Old.scan(ctx, a.fork+1, b.first-1, func(m *message) error {
			if k, counted := m.key(); counted {
				t.spend(k)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	for i, k := range b.keys {
		if seq := t.take(k, b.counted[k]); seq > 0 {
			b.on[b.seqs[i]] = seq
		}
	}
	b.keys, b.seqs, b.counted = nil, nil, nil
	return nil
}

// each calls do with the batch's messages in order.
func (b *batch) each(ctx context.Context, old Side, do func(parcel) error) error {
	from := b.first
	for _, m := range b.kept {
		if err := do(parcel{message: m, onPrimary: b.on[m.seq]}); err != nil {
			return err
		}
		from = m.seq + 1
	}
	b.kept = nil
	if from > b.last {
		return nil
	}
	return old.scan(ctx, from, b.last, func(m *message) error {
		return do(parcel{message: m, onPrimary: b.on[m.seq]})
	})
}
