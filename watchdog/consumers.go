package watchdog

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/consumers"
)

// openKeeper reads the snapshots of consumers that this watchdog kept when it last ran.
func (s *service) openKeeper() error {
	keeper, err := consumers.NewKeeper(consumers.Options{
		Dir: filepath.Join(s.o.Config.DataDir, "consumers"), Primary: s.primary, Log: s.log.With("part", "consumers"),
	})
	if err != nil {
		return err
	}
	s.keeper = keeper
	s.configureKeeper()
	return nil
}

func (s *service) configureKeeper() {
	s.keeper.Configure(consumers.Config{Streams: s.Rules().Streams, Logins: siteLogins(s.Config())})
}

// primary is the member that holds a stream's subjects, as far as this node has heard.
func (s *service) primary(stream string) policy.MemberID {
	if st, ok := s.replica.State().Streams[stream]; ok && st.Primary != (policy.MemberID{}) {
		return st.Primary
	}
	return s.Rules().Streams[stream].Origin
}

// consumersPatience is how long a failover waits for watchdogs that do not answer. One that is well answers in a few
// milliseconds, and one whose site is lost may not answer at all.
const consumersPatience = 150 * time.Millisecond

// consumersRequest asks a watchdog for the newest snapshot that it holds of a member's consumers.
type consumersRequest struct {
	Stream string          `json:"stream"`
	Member policy.MemberID `json:"member"`
}

// consumersAnswer has no snapshot when the watchdog holds none.
type consumersAnswer struct {
	Snapshot *policy.ConsumerSnapshot `json:"snapshot,omitempty"`
}

func (s *service) serveConsumers(_ context.Context, _ string, req []byte) ([]byte, error) {
	var r consumersRequest
	if err := json.Unmarshal(req, &r); err != nil {
		return nil, fmt.Errorf("consumers request: %w", err)
	}
	var answer consumersAnswer
	if snap, ok := s.keeper.Latest(r.Stream, r.Member); ok {
		answer.Snapshot = &snap
	}
	return json.Marshal(answer)
}

// newestConsumers asks all watchdogs side by side, and returns the newest snapshot of a member's consumers that any of
// them holds; false when none answers with one within patience. It takes no longer than that, and as long only while a
// watchdog is silent.
func (s *service) newestConsumers(ctx context.Context, stream string, member policy.MemberID, patience time.Duration) (policy.ConsumerSnapshot, bool) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var mu sync.Mutex
	var newest *policy.ConsumerSnapshot
	var asked sync.WaitGroup
	for node := range s.Rules().Watchdogs {
		asked.Go(func() {
			snap := s.askConsumers(ctx, node, consumersRequest{Stream: stream, Member: member})
			mu.Lock()
			defer mu.Unlock()
			if snap != nil && (newest == nil || snap.Age < newest.Age) {
				newest = snap
			}
		})
	}
	asked.Wait()
	if newest == nil {
		return policy.ConsumerSnapshot{}, false
	}
	return *newest, true
}

// askConsumers asks one watchdog; nil when it does not answer with a snapshot of that member. Its age is the answer's: two
// clocks are not compared.
func (s *service) askConsumers(ctx context.Context, node string, r consumersRequest) *policy.ConsumerSnapshot {
	body, err := json.Marshal(r)
	if err != nil {
		return nil // plain names: cannot happen
	}
	data, err := s.node.Call(ctx, node, methodConsumers, body)
	if err != nil {
		s.log.Debug("no snapshot of consumers", "peer", node, "stream", r.Stream, "error", err)
		return nil
	}
	var answer consumersAnswer
	if err := json.Unmarshal(data, &answer); err != nil {
		s.log.Warn("snapshot of consumers cannot be read", "peer", node, "stream", r.Stream, "error", err)
		return nil
	}
	if answer.Snapshot == nil || answer.Snapshot.Stream != r.Member {
		return nil
	}
	return answer.Snapshot
}
