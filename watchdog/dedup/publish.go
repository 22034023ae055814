package dedup

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// inFlight is how many seeds wait for their ack at a time: a tenth of what a server queues for one stream.
	inFlight = 1_000
	// ackWait is how long all of them may stay without one before they are sent again.
	ackWait = time.Second
	// Nothing is sent for a while after an answer that says "later"; as long as only those come, the while doubles.
	firstPause   = 5 * time.Millisecond
	longestPause = 200 * time.Millisecond
)

// seed is the message that makes an id known: empty, and taken by one stream only.
type seed struct{ subject, stream string }

// message returns the seed of an id.
func (s seed) message(id, reply string) *nats.Msg {
	return &nats.Msg{Subject: s.subject, Reply: reply, Header: nats.Header{
		jetstream.MsgIDHeader: {id}, jetstream.ExpectedStreamHeader: {s.stream}}}
}

// size is what counts for max_msg_size: the header block.
func (s seed) size(id string) uint64 {
	const names = "NATS/1.0\r\n" + jetstream.MsgIDHeader + ": \r\n" + jetstream.ExpectedStreamHeader + ": \r\n\r\n"
	return uint64(len(names) + len(id) + len(s.stream))
}

// stored is at least what counts for max_bytes: a file store adds 34 bytes to a message, a memory store 16.
func (s seed) stored(id string) uint64 { return s.size(id) + uint64(len(s.subject)) + 64 }

// told is what came of the publishing.
type told struct {
	seeded, known, left int
	why                 string // ids are left
	settled             bool   // every seed that was sent has been answered, each once sent
}

// teller publishes the seeds of some ids and takes in the acks.
type teller struct {
	seed
	nc    *nats.Conn
	inbox string // the reply subject's prefix; the id's place follows
	ids   []string
	sent  []uint8 // by place, how often; a place with an answer is done
	done  []bool
	again []int // places to send again
	next  int   // the first place that was never sent
	open  int   // places that wait for an answer
	pause time.Duration
	until time.Time // the end of the pause
	told
}

// tell publishes the seeds, newest first, until all are acked, the budget is over, or the stream refuses one for good. An
// error means that the connection is gone.
func (s *seeding) tell(ctx context.Context, ids []string) (told, error) {
	nc := s.js.Conn()
	t := &teller{seed: s.seed, nc: nc, inbox: nc.NewInbox() + ".", ids: ids, sent: make([]uint8, len(ids)), done: make([]bool, len(ids))}
	answers := make(chan *nats.Msg, 16*inFlight)
	sub, err := nc.ChanSubscribe(t.inbox+"*", answers)
	if err != nil {
		return told{}, err
	}
	defer func() { _ = sub.Unsubscribe() }() // it fails with the connection only
	budget, cancel := context.WithTimeout(ctx, s.Budget)
	defer cancel()
	for t.seeded+t.known < len(ids) && t.why == "" {
		if budget.Err() != nil {
			t.why = fmt.Sprintf("not acked within %s", s.Budget)
			break
		}
		if !time.Now().Before(t.until) {
			if err := t.send(); err != nil {
				return t.told, err
			}
		}
		t.receive(budget, answers)
	}
	t.left = len(ids) - t.seeded - t.known
	t.settled = t.open == 0 && !slices.ContainsFunc(t.sent, func(n uint8) bool { return n > 1 })
	return t.told, ctx.Err()
}

// send fills up what is in flight.
func (t *teller) send() error {
	for t.open < inFlight {
		var place int
		switch {
		case len(t.again) > 0:
			place, t.again = t.again[0], t.again[1:]
		case t.next < len(t.ids):
			place = t.next
			t.next++
		default:
			return nil
		}
		if t.done[place] { // the answer came late
			continue
		}
		if err := t.nc.PublishMsg(t.message(t.ids[place], t.inbox+strconv.Itoa(place))); err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		t.sent[place] = min(t.sent[place], 100) + 1
		t.open++
	}
	return nil
}

// receive takes in one answer, or waits for the end of a pause. When neither comes, all that is in flight is sent again.
func (t *teller) receive(ctx context.Context, answers <-chan *nats.Msg) {
	limit, paused := ackWait, time.Until(t.until)
	if paused > 0 {
		limit = paused
	}
	wait := time.NewTimer(limit)
	defer wait.Stop()
	select {
	case m := <-answers:
		t.answer(m)
	case <-wait.C:
		if paused <= 0 {
			t.resend()
		}
	case <-ctx.Done():
	}
}

func (t *teller) resend() {
	t.again, t.open = t.again[:0], 0
	for place := range t.next {
		if !t.done[place] {
			t.again = append(t.again, place)
		}
	}
}

// answer is a stream's word on one seed, or the server's that no stream listens.
func (t *teller) answer(m *nats.Msg) {
	place, err := strconv.Atoi(strings.TrimPrefix(m.Subject, t.inbox))
	if err != nil || place < 0 || place >= len(t.ids) || t.done[place] {
		return
	}
	t.open = max(0, t.open-1)
	var ack struct {
		Stream    string              `json:"stream"`
		Duplicate bool                `json:"duplicate"`
		Error     *jetstream.APIError `json:"error"`
	}
	noResponders := m.Header.Get("Status") == "503"
	bad := json.Unmarshal(m.Data, &ack)
	switch {
	case noResponders || ack.Error != nil && later(ack.Error):
		t.postpone(place)
	case ack.Error != nil:
		t.why = fmt.Sprintf("the stream refuses a seed: %s (%d)", ack.Error.Description, ack.Error.ErrorCode)
	case bad != nil || ack.Stream != t.stream:
		t.why = fmt.Sprintf("a seed was answered, but not by stream %s", t.stream)
	default:
		t.acked(place, ack.Duplicate)
	}
}

// acked counts a seed. A duplicate of one that was sent twice is our own.
func (t *teller) acked(place int, duplicate bool) {
	t.done[place], t.pause = true, 0
	if duplicate && t.sent[place] == 1 {
		t.known++
		return
	}
	t.seeded++
}

// postpone puts a seed back. The answers to what was in flight with it begin no pause of their own.
func (t *teller) postpone(place int) {
	t.again = append(t.again, place)
	if now := time.Now(); now.After(t.until) {
		t.pause = min(max(2*t.pause, firstPause), longestPause)
		t.until = now.Add(t.pause)
	}
}

// later tells a refusal that will pass: no quorum or no leader, too many requests, an earlier copy still under way.
func later(err *jetstream.APIError) bool {
	return slices.Contains([]jetstream.ErrorCode{10008, 10009, 10158, 10167}, err.ErrorCode)
}
