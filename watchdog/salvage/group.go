package salvage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

// group is the next messages of a replay: few enough to publish within about a second, so that what the primary got
// since its last search is still known to its own duplicate window.
type group struct {
	*replayer
	facts *facts
	next  []*parcel
	bytes int
}

const (
	groupMessages = 500
	groupBytes    = 8 << 20
)

func (g *group) add(ctx context.Context, p *parcel) error {
	g.next, g.bytes = append(g.next, p), g.bytes+p.size()
	most := groupMessages
	if g.Rate > 0 {
		most = max(1, min(most, int(g.Rate)))
	}
	if len(g.next) < most && g.bytes < groupBytes {
		return nil
	}
	return g.flush(ctx)
}

// fate is what becomes of one message.
type fate struct {
	*parcel
	count   *uint64 // nil: it is to be published
	settled bool
	after   uint64 // what the subject's last sequence must be; used with replayer.latest
	fail    error
}

// flush decides about the group's messages and publishes those that the primary lacks.
func (g *group) flush(ctx context.Context) error {
	if len(g.next) == 0 {
		return nil
	}
	if err := g.search(ctx, g.facts); err != nil {
		return err
	}
	var fates []*fate
	for _, p := range g.next {
		fates = append(fates, g.decide(p))
	}
	g.next, g.bytes = nil, 0
	for rest := fates; len(rest) > 0; {
		wave := g.wave(rest)
		rest = rest[len(wave):]
		if err := g.publish(ctx, wave); err != nil {
			return err
		}
		for _, f := range wave {
			g.book(f)
		}
	}
	if time.Since(g.saved) > saveEvery {
		return g.save(ctx)
	}
	return nil
}

// decide says what is known of a message without asking for its subject.
func (g *group) decide(p *parcel) *fate {
	f := &fate{parcel: p}
	k, counted := p.key()
	had := g.facts.tally.take(k, counted) > 0 || p.onPrimary > 0 // taken in any case: copies are counted
	switch {
	case g.settled.has(p.seq), g.facts.tally.take(g.markKey(p), false) > 0:
		f.count, f.settled = &g.counts.Already, true
	case had:
		f.count = &g.counts.OnPrimary
	case !matches(g.Subject, p.subject):
		f.count = &g.counts.Filtered
	case strings.ContainsRune(p.subject, '\uFFFD'):
		f.fail = errors.New("its subject is not UTF-8 and cannot be told exactly")
	case len(p.header) > 0 && p.headers() == nil:
		f.fail = errors.New("its headers cannot be read")
	}
	return f
}

// wave is how many of the messages can be under way at once: where the last of a subject counts, no two of one.
func (g *group) wave(fates []*fate) []*fate {
	if !g.latest {
		return fates
	}
	seen := map[string]bool{}
	for i, f := range fates {
		if seen[f.subject] {
			return fates[:i]
		}
		seen[f.subject] = true
	}
	return fates
}

// publish sends those messages of a wave that are still to be sent, and waits for all acks.
func (g *group) publish(ctx context.Context, wave []*fate) error {
	if g.latest {
		if err := g.supersede(ctx, wave); err != nil {
			return err
		}
	}
	var sent []*fate
	for _, f := range wave {
		if f.count == nil && f.fail == nil {
			f.count, f.settled = &g.counts.Replayed, true
			sent = append(sent, f)
		}
	}
	if g.DryRun || len(sent) == 0 {
		return nil
	}
	p, err := openPipe(g.Primary.Conn)
	if err != nil {
		return err
	}
	defer p.close()
	for _, f := range sent {
		if err := g.limiter.Wait(ctx); err != nil {
			return err
		}
		if err := p.send(g.message(f)); errors.Is(err, nats.ErrMaxPayload) {
			f.fail = err
		} else if err != nil {
			return err
		}
	}
	for _, f := range sent {
		if f.fail == nil {
			if err := g.await(ctx, p, f); err != nil {
				return err
			}
		}
	}
	return nil
}

// await takes one ack. What the primary refuses is counted; whatever else goes wrong ends the replay.
func (g *group) await(ctx context.Context, p *pipe, f *fate) error {
	answer, err := p.take(ctx)
	if err != nil {
		return fmt.Errorf("publish origin sequence %d on %s: %w", f.seq, f.subject, err)
	}
	a, err := readAck(answer, g.Primary.Stream)
	var refused *jsapi.APIError
	switch {
	case g.latest && errors.Is(err, jsapi.ErrWrongLastSequence): // overwritten meanwhile
		f.count, f.settled = &g.counts.Superseded, false
	case errors.As(err, &refused):
		f.fail = err
	case err != nil:
		return fmt.Errorf("publish origin sequence %d on %s: %w", f.seq, f.subject, err)
	case a.Domain != "" && g.Primary.Domain != "" && a.Domain != g.Primary.Domain:
		return fmt.Errorf("publish origin sequence %d on %s: stored in domain %s, not in %s", f.seq, f.subject, a.Domain, g.Primary.Domain)
	case a.Duplicate:
		f.count = &g.counts.Already
	}
	return nil
}

// book counts a message.
func (g *group) book(f *fate) {
	if f.fail != nil {
		f.count, f.settled = &g.counts.Failed, false
		if len(g.counts.Errors) < mostErrors {
			g.counts.Errors = append(g.counts.Errors, fmt.Sprintf("origin sequence %d on %s: %v", f.seq, f.subject, f.fail))
		}
	}
	*f.count++
	g.settled.add(f.seq, f.settled)
	g.done++
	g.replayer.bytes += uint64(f.size())
	g.report(false)
}

// message is the original with its mark and an id.
func (g *group) message(f *fate) *nats.Msg {
	h := nats.Header{}
	for k, v := range f.headers() {
		if !stale(k) {
			h[k] = v
		}
	}
	if f.id() == "" {
		h.Set(nats.MsgIdHdr, fmt.Sprintf("understudy-%s-%d-%d-%d", g.meta.Name, g.meta.Epoch, f.seq, f.at.UnixNano()))
	}
	h.Set(headerSalvage, g.mark(f.seq))
	h.Set(headerTime, f.at.Format(time.RFC3339Nano))
	if g.latest {
		h.Set(nats.ExpectedLastSubjSeqHdr, strconv.FormatUint(f.after, 10))
	}
	return &nats.Msg{Subject: f.subject, Header: h, Data: f.data}
}

// stale says which headers are left behind: they would act on a stream that is not the one they were written for.
func stale(header string) bool {
	for _, prefix := range []string{
		"Nats-Expected-",                       // compares with positions of the old origin
		"Nats-Rollup",                          // removes what the primary got since
		"Nats-Batch-",                          // waits for the rest of a batch
		"Nats-Schedule-Next", "Nats-Scheduler", // removes a schedule that may be another by now
		"Nats-Trace-", "Nats-Required-Api-Level", // was for the servers then
		headerSalvage,
	} {
		if strings.HasPrefix(header, prefix) {
			return true
		}
	}
	return false
}

// supersede finds those whose subject has a newer message on the primary.
func (g *group) supersede(ctx context.Context, wave []*fate) error {
	p, err := openPipe(g.Primary.Conn)
	if err != nil {
		return err
	}
	defer p.close()
	var asked []*fate
	for _, f := range wave {
		if f.count != nil || f.fail != nil {
			continue
		}
		body, err := json.Marshal(getRequest{Last: f.subject})
		if err != nil {
			return err
		}
		if err := p.send(&nats.Msg{Subject: g.Primary.api("STREAM.MSG.GET." + g.Primary.Stream), Data: body}); err != nil {
			return err
		}
		asked = append(asked, f)
	}
	for _, f := range asked {
		answer, err := p.take(ctx)
		if err != nil {
			return fmt.Errorf("look up the last message on %s: %w", f.subject, err)
		}
		last, err := readAnswer(answer.Data)
		if errors.Is(err, errNoMessage) {
			continue
		}
		if err != nil {
			return fmt.Errorf("look up the last message on %s: %w", f.subject, err)
		}
		if f.after = last.seq; last.seq > g.meta.Fork && !g.older(last, f.seq) {
			f.count = &g.counts.Superseded
		}
	}
	return nil
}

// older says that a message of the primary is the replay of an earlier one of the same archive.
func (g *group) older(m *message, seq uint64) bool {
	mark := m.value(headerSalvage)
	i := strings.LastIndexByte(mark, '/')
	n, err := strconv.ParseUint(mark[i+1:], 10, 64)
	return err == nil && mark == g.mark(n) && n < seq
}

// keepsLatest says whether a stream keeps but the last messages of each subject, as a key-value bucket does.
func keepsLatest(ctx context.Context, s Side) (bool, error) {
	info, err := s.info(ctx)
	if err != nil {
		return false, err
	}
	var config struct {
		PerSubject int64 `json:"max_msgs_per_subject"`
	}
	if err := json.Unmarshal(info.Config, &config); err != nil {
		return false, fmt.Errorf("unreadable config of %s: %w", s, err)
	}
	return config.PerSubject > 0, nil
}
