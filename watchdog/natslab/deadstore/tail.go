package deadstore

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
)

// A replicated stream acknowledges a message once a majority has it in the raft
// log. The log is written through, the stream itself some milliseconds later
// (the server's AsyncFlush). What was acknowledged in the last moments of a
// killed server is therefore in its log only. A returning server takes it from
// there; so does this file.

// end is where a stream's own files end.
type end struct {
	stream string
	seq    uint64
	ts     int64
}

// tail is what a stream's raft log holds beyond its end.
type tail struct {
	stream string
	msgs   []message
}

// message is one stream message, as a block file holds it.
type message struct {
	seq     uint64
	ts      int64
	subject string
	hdr     []byte
	data    []byte
}

// findTails looks through the raft logs of a store copy for messages beyond the
// streams' ends.
func findTails(dir string, ends []end) ([]tail, error) {
	groups, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "_js_", "S-*"))
	if err != nil {
		return nil, err
	}
	var tails []tail
	for _, group := range groups {
		log, err := readLog(group)
		if err != nil {
			return nil, fmt.Errorf("read the raft log %s: %w", group, err)
		}
		for _, e := range ends {
			if msgs := beyond(log, e); len(msgs) > 0 {
				tails = append(tails, tail{e.stream, msgs})
			}
		}
	}
	return tails, nil
}

// beyond returns the log's messages after a stream's end. A log belongs to the
// stream when it holds the stream's last message, known by its timestamp in
// nanoseconds; nothing else in a group's folder names the stream.
//
// A logged message carries the sequence that its leader expected for it, less
// one. That is ahead of the stored one by the number of proposals that failed
// since the leader began, which the last stored message tells.
func beyond(log []message, e end) []message {
	if e.seq == 0 {
		return nil
	}
	last := -1
	for i, m := range log {
		if m.ts == e.ts {
			last = i
		}
	}
	if last < 0 {
		return nil
	}
	ahead := log[last].seq - e.seq
	var msgs []message
	for _, m := range log[last+1:] {
		m.seq -= ahead
		if m.seq > e.seq && !m.skip() {
			e.seq = m.seq
			msgs = append(msgs, m)
		}
	}
	return msgs
}

// skip tells a message that only stands for a sequence without one.
func (m message) skip() bool { return m.subject == "" && m.ts == 0 }

// write adds the tail to its stream, as a new block file after the last. The
// server finds that its index does not know the block, and rebuilds it.
func (t tail) write(dir, account string) error {
	msgs := filepath.Join(streamsDir(dir, account), t.stream, "msgs")
	indexes, err := blocks(msgs)
	if err != nil {
		return err
	}
	if len(indexes) == 0 {
		return errors.New("the stream has no block file")
	}
	return writeBlock(msgs, t.stream, slices.Max(indexes)+1, t.msgs)
}
