package dedup

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

// countedWait is how long that ack is waited for. Publishers wait as well, and some give up after half a second.
const countedWait = 250 * time.Millisecond

// counted makes a few ids known with one ack for all, which is quicker than an ack for each: the seeds go out in one order on
// one connection, and nobody else publishes where they go, so the sequence of the last one tells whether every one was stored.
// It reports false when that is not so, or not known; the ids are to be told one by one then, and the seeds are still there.
func (s *seeding) counted(ctx context.Context, ids []string, before jsapi.State) (after jsapi.State, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, countedWait)
	defer cancel()
	nc, last := s.js.Conn(), len(ids)-1
	for _, id := range ids[:last] {
		if err := nc.PublishMsg(s.seed.message(id, "")); err != nil {
			return before, false
		}
	}
	ack, err := s.conn.Publish(ctx, s.seed.subject, ids[last], map[string][]string{jetstream.ExpectedStreamHeader: {s.seed.stream}}, nil)
	if err != nil || ack.Duplicate || ack.Stream != s.seed.stream || ack.Seq != before.LastSeq+uint64(len(ids)) {
		return before, false
	}
	if err := s.conn.Purge(ctx, s.Member.Stream, s.seed.subject); err != nil {
		return before, false
	}
	after = before
	after.LastSeq = ack.Seq
	return after, true
}
