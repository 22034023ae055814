package failover

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

// listing is what a site listed: only streams that source from others, and spare copies.
type listing struct {
	mu    sync.Mutex
	began time.Time
	list  *jsapi.List
}

// search logs which streams of a site source from a replaced primary. Streams that the site lists as silent are asked for
// again, less and less often.
func (h *Hands) search(ctx context.Context, rules policy.Rules, name, site, key string) error {
	s := h.o.Journal.State()
	list, err := h.listOf(ctx, site, h.firstSeen(name, s.Streams[name].SearchEpoch()))
	if err != nil {
		h.patience.failed(key, longestPause)
		return fmt.Errorf("search %s for streams that source from %s: %w", site, name, err)
	}
	streams := make([]policy.ListedStream, 0, len(list.Streams))
	for _, i := range list.Streams {
		if c := (policy.ListedStream{Name: nameOf(i), Created: i.Created, Config: i.Config}); c.Name != "" {
			streams = append(streams, c)
		}
	}
	st := s.Streams[name]
	c := policy.SourceCommand{Stream: name, Epoch: st.Epoch, Site: site, Report: rules.Streams[name].Repoint != policy.RepointAuto,
		Found: policy.FindSources(rules, s, name, site, streams), Spares: policy.FindSpares(st, site, streams)}
	for _, missing := range list.Missing {
		if !policy.Guards(rules, missing) {
			c.Missing = append(c.Missing, missing)
		}
	}
	if len(c.Missing) > 0 {
		h.patience.failed(key, longestPause)
		if !news(st, c) {
			return nil
		}
	}
	if len(c.Found) == 0 {
		return h.propose(ctx, policy.Command{Source: &c})
	}
	failpoint(name, "before-found")
	if err := h.propose(ctx, policy.Command{Source: &c}); err != nil {
		return err
	}
	failpoint(name, "after-found")
	return nil
}

// news says whether a search that missed streams found what the log does not know.
func news(st policy.StreamState, c policy.SourceCommand) bool {
	for _, f := range c.Found {
		if old, known := st.Sourcing[f.Stream.String()]; !known || old.Done {
			return true
		}
	}
	scan := st.Scans[c.Site]
	return scan.Epoch < st.SearchEpoch() || len(scan.Missing) != len(c.Missing)
}

func nameOf(i *jsapi.Info) string {
	var c struct {
		Name string `json:"name"`
	}
	_ = json.Unmarshal(i.Config, &c) // an unreadable config has none
	return c.Name
}

// firstSeen is when these hands first knew of a stream's newest primary, or of its adoption: a listing from before may be of the
// former one's time.
func (h *Hands) firstSeen(name string, epoch uint64) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := fmt.Sprint(name, " ", epoch)
	if _, known := h.seen[key]; !known {
		h.seen[key] = time.Now()
	}
	return h.seen[key]
}

// listOf lists a site, once for all who want it of no earlier than a time: many streams fail over together.
func (h *Hands) listOf(ctx context.Context, site string, notBefore time.Time) (*jsapi.List, error) {
	h.mu.Lock()
	l := h.listings[site]
	if l == nil {
		l = &listing{}
		h.listings[site] = l
	}
	h.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	const lasts = 10 * time.Second // the streams that were silent then may answer now
	if l.list != nil && l.began.After(notBefore) && time.Since(l.began) < lasts {
		return l.list, nil
	}
	conn, err := h.reader(ctx, site)
	if err != nil {
		return nil, err
	}
	l.began, l.list = time.Now(), nil
	l.list, err = conn.List(ctx, func(i *jsapi.Info) bool { return policy.HasSources(i.Config) || policy.IsSpare(i.Config) })
	return l.list, err
}
