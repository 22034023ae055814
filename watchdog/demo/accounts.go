package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/natslab"
	"github.com/understudy-ha/understudy/watchdog/salvage"
)

// accountTime bounds the reading of the stores.
const accountTime = 60 * time.Second

// account looks at the servers and the stores, and judges.
func (s *scene) account(ctx context.Context, w *watcher, p *publishers) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, accountTime)
	defer cancel()
	r := Result{Topology: string(s.o.Topology), Fault: string(s.o.Fault), Outcome: NoFailover, Streams: 1,
		Reason: string(w.stream.Reason.Code), AtLeast: w.atLeast}
	if w.stream.Epoch > 0 && w.stream.Primary.Site != origin {
		r.Outcome = FailedOver
	}
	r.setTimes(w.times(), s.o.After)
	want, err := Expected(s.o.Fault, s.o.Topology, s.o.Mode)
	if err != nil {
		return r, err
	}
	if r.Promotions, err = s.promotions(ctx); err != nil {
		return r, fmt.Errorf("count the promotions: %w", err)
	}
	acked := p.acked()
	r.Acked = len(acked)
	if err := s.find(ctx, w.stream.Primary, acked, &r); err != nil {
		return r, fmt.Errorf("account for the messages: %w", err)
	}
	r.judge(want)
	return r, nil
}

// find says where every acked message is.
func (s *scene) find(ctx context.Context, primary policy.MemberID, acked map[string]bool, r *Result) error {
	if s.o.Fault == Delete && r.Outcome == NoFailover {
		return nil // its messages were deleted with it, by somebody: there is nothing to account for
	}
	old, err := s.readOrigin(ctx)
	if err != nil {
		return fmt.Errorf("read the origin's store: %w", err)
	}
	held := old
	if r.Outcome == FailedOver {
		if held, err = s.readStream(ctx, primary); err != nil {
			return fmt.Errorf("read the new primary: %w", err)
		}
	}
	r.Duplicates = held.duplicates()
	on, above := held.ids(0), map[string]bool{}
	if r.Outcome == FailedOver {
		above = old.ids(fork(old, held))
	}
	for id := range acked {
		switch {
		case on[id]:
			r.OnPrimary++
		case above[id]:
			r.Tail++
		default:
			r.Lost++
			s.tell.now("demo", "lost", "message "+id+" was acked, and is nowhere")
		}
	}
	return nil
}

// readOrigin reads a copy of the origin's store, after the end of its servers.
func (s *scene) readOrigin(ctx context.Context) (stored, error) {
	site := s.lab.Site(origin)
	if err := site.Kill(); err != nil { // those that were frozen, cut off or well until now
		return stored{}, err
	}
	dirs, err := site.CopyStore(filepath.Join(s.lab.Dir(), "store-copy"))
	if err != nil {
		return stored{}, err
	}
	st, err := natslab.OpenStore(ctx, dirs...)
	if err != nil {
		return stored{}, err
	}
	defer st.Close()
	str, _, err := st.Stream(ctx, streamName)
	if err != nil {
		return stored{}, err
	}
	return readAll(ctx, str)
}

func (s *scene) readStream(ctx context.Context, id policy.MemberID) (stored, error) {
	nc, err := s.connect(ctx, id.Site)
	if err != nil {
		return stored{}, err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return stored{}, err
	}
	str, err := js.Stream(ctx, id.Stream)
	if err != nil {
		return stored{}, err
	}
	return readAll(ctx, str)
}

// stored is what a stream holds, by sequence: the id of each message, which is its content, too, and its time, which a
// mirror keeps.
type stored struct {
	id   map[uint64]string
	at   map[uint64]time.Time
	last uint64
	// replayed are the ids of the messages that a replay brought there.
	replayed map[string]bool
}

// ids are those of the messages above a sequence.
func (s stored) ids(above uint64) map[string]bool {
	set := map[string]bool{}
	for seq, id := range s.id {
		if seq > above {
			set[id] = true
		}
	}
	return set
}

func (s stored) duplicates() int { return len(s.id) - len(s.ids(0)) }

// fork is the highest sequence at which both hold the identical message. The time is part of that: a message that was
// stored by the origin only and then retried may get the very sequence that it had there.
func fork(a, b stored) uint64 {
	for seq := min(a.last, b.last); seq > 0; seq-- {
		if id, ok := a.id[seq]; ok && id == b.id[seq] && a.at[seq].Equal(b.at[seq]) {
			return seq
		}
	}
	return 0
}

func readAll(ctx context.Context, str jetstream.Stream) (stored, error) {
	info, err := str.Info(ctx)
	if err != nil {
		return stored{}, err
	}
	s := stored{id: map[uint64]string{}, at: map[uint64]time.Time{}, last: info.State.LastSeq, replayed: map[string]bool{}}
	if info.State.Msgs == 0 {
		return s, nil
	}
	c, err := str.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return s, err
	}
	it, err := c.Messages()
	if err != nil {
		return s, err
	}
	defer it.Stop()
	for uint64(len(s.id)) < info.State.Msgs {
		m, err := it.Next(jetstream.NextContext(ctx))
		if err != nil {
			return s, fmt.Errorf("after %d of %d messages: %w", len(s.id), info.State.Msgs, err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return s, err
		}
		id := m.Headers().Get(nats.MsgIdHdr)
		s.id[meta.Sequence.Stream], s.at[meta.Sequence.Stream] = id, meta.Timestamp
		if m.Headers().Get(salvage.HeaderReplayed) != "" {
			s.replayed[id] = true
		}
	}
	return s, nil
}

// promotions counts the streams of the group, other than the origin, that are no mirrors any more. It asks the servers'
// monitoring, which answers without a meta quorum, too.
func (s *scene) promotions(ctx context.Context) (int, error) {
	n := 0
	for _, site := range s.spares() {
		mirror, err := s.isMirror(ctx, site)
		for began := time.Now(); errors.Is(err, errNotListed) && time.Since(began) < actPatience && ctx.Err() == nil; {
			wait(ctx, pollEvery)
			mirror, err = s.isMirror(ctx, site)
		}
		if err != nil {
			return 0, err
		}
		if !mirror {
			n++
		}
	}
	return n, nil
}

// errNotListed: a server does not list a mirror. One that follows the old origin is deleted and made anew.
var errNotListed = errors.New("the server does not list the mirror")

func (s *scene) isMirror(ctx context.Context, site string) (bool, error) {
	nc, err := s.lab.ConnectSystem(ctx, site, site)
	if err != nil {
		return false, err
	}
	defer nc.Close()
	msg, err := nc.RequestWithContext(ctx, "$SYS.REQ.SERVER."+nc.ConnectedServerId()+".JSZ", []byte(`{"accounts":true,"streams":true,"config":true}`))
	if err != nil {
		return false, err
	}
	var jsz struct {
		Data struct {
			Accounts []struct {
				Streams []struct {
					Name   string                 `json:"name"`
					Config jetstream.StreamConfig `json:"config"`
				} `json:"stream_detail"`
			} `json:"account_details"`
		} `json:"data"`
	}
	if err := json.Unmarshal(msg.Data, &jsz); err != nil {
		return false, err
	}
	for _, a := range jsz.Data.Accounts {
		for _, str := range a.Streams {
			if str.Name == mirrorOf[site] {
				return str.Config.Mirror != nil, nil
			}
		}
	}
	return false, fmt.Errorf("%w: %s at %s", errNotListed, mirrorOf[site], site)
}
