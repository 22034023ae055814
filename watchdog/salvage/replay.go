package salvage

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/time/rate"
)

// ReplayJob says what to replay, and where to.
type ReplayJob struct {
	Archive Side // an archive's stream
	Primary Side // the stream that holds the subjects now
	DryRun  bool // count only
	// Subject, when set, leaves out what does not match; it may have wildcards.
	Subject string
	// Rate limits the messages a second; 0 does not.
	Rate float64
	// Progress, when set, hears about every thousand messages and at the end.
	Progress func(Progress)
}

// Replayed is what became of an archive's messages; the counts add up to all of them.
type Replayed struct {
	Replayed   uint64 `json:"replayed"`   // published now or, in a dry run, to be published
	OnPrimary  uint64 `json:"on_primary"` // the primary has, or had, its own copy
	Already    uint64 `json:"already"`    // by an earlier replay
	Superseded uint64 `json:"superseded"` // the primary keeps the last of a subject, and has a newer one
	Filtered   uint64 `json:"filtered"`   // another subject than the one that was asked for
	Failed     uint64 `json:"failed"`
	// Errors are the first of the failures.
	Errors []string `json:"errors,omitempty"`
}

// mostErrors bounds Replayed.Errors.
const mostErrors = 10

// Replay publishes what an archive holds and the primary lacks to its original subjects. It may be repeated at any later
// time without doubling anything: the primary is searched, above the fork, for each message's id, for the mark of an
// earlier replay, or for the copies of its content, again before each group of messages; the archive remembers what was
// replayed; and messages that have no Nats-Msg-Id get one, so that two replays at once are told apart by the primary.
//
// Original headers come along, except those that would have the server compare a message with a stream that is no longer
// (Nats-Expected-*), remove newer messages (Nats-Rollup), or take it for a part of something (Nats-Batch-*). An error
// means that it ended early; the counts are those until then. Messages that the primary refuses are counted as failed.
func Replay(ctx context.Context, j ReplayJob) (Replayed, error) {
	r, err := newReplayer(ctx, j)
	if err != nil {
		return Replayed{}, fmt.Errorf("replay %s to %s: %w", j.Archive, j.Primary, err)
	}
	err = r.run(ctx)
	if saved := r.save(ctx); err == nil {
		err = saved
	}
	if err != nil {
		return r.counts, fmt.Errorf("replay %s to %s, after %d messages: %w", j.Archive, j.Primary, r.done, err)
	}
	r.report(true)
	return r.counts, nil
}

// replayer is one replay under way.
type replayer struct {
	ReplayJob
	counts  Replayed
	meta    meta
	total   uint64 // messages of the archive, in parts or whole
	done    uint64
	bytes   uint64
	latest  bool // the primary keeps but the last messages of a subject
	settled *settled
	limiter *rate.Limiter
	saved   time.Time
}

func newReplayer(ctx context.Context, j ReplayJob) (*replayer, error) {
	if err := CheckFilter(j.Subject); err != nil {
		return nil, err
	}
	archive, err := j.Archive.info(ctx)
	if err != nil {
		return nil, err
	}
	r := &replayer{ReplayJob: j, total: archive.State.Messages, limiter: rate.NewLimiter(rate.Inf, 1), saved: time.Now()}
	if r.meta, err = readMeta(archive); err != nil {
		return nil, err
	}
	if r.settled, err = readSettled(r.meta.Settled); err != nil {
		return nil, err
	}
	if j.Rate > 0 {
		r.limiter = rate.NewLimiter(rate.Limit(j.Rate), 1)
	}
	r.latest, err = keepsLatest(ctx, j.Primary)
	return r, err
}

// run replays as many messages at a time as are compared with the primary at once.
func (r *replayer) run(ctx context.Context) error {
	for from := uint64(1); ; {
		f, err := r.gather(ctx, from)
		if err != nil || f.to == 0 {
			return err
		}
		g := &group{replayer: r, facts: f}
		err = unpack(ctx, r.Archive, from, func(p *parcel) error {
			if err := g.add(ctx, p); err != nil || p.stored < f.to {
				return err
			}
			return errEnough
		})
		if err != nil && !errors.Is(err, errEnough) {
			return err
		}
		if err := g.flush(ctx); err != nil {
			return err
		}
		from = f.to + 1
	}
}

// facts is what the primary has of some messages of the archive.
type facts struct {
	tally *tally
	to    uint64 // the archive's sequence that they end at; 0: there are none
	seen  uint64 // the primary's sequence up to which it was searched
}

// gather reads the keys of the next messages, and searches the primary for them.
func (r *replayer) gather(ctx context.Context, from uint64) (*facts, error) {
	f := &facts{tally: newTally(), seen: r.meta.Fork}
	counted := map[key]bool{}
	n := 0
	err := unpack(ctx, r.Archive, from, func(p *parcel) error {
		k, c := p.key()
		if f.tally.want(k); c {
			counted[k] = true
		}
		f.tally.want(r.markKey(p))
		f.to = p.stored
		if n++; n >= tallied {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) || f.to == 0 {
		return f, err
	}
	if err := r.search(ctx, f); err != nil {
		return f, err
	}
	if from == 1 || !f.tally.contended(counted) {
		return f, nil
	}
	err = unpack(ctx, r.Archive, 1, func(p *parcel) error {
		if k, c := p.key(); c {
			f.tally.spend(k)
		}
		if p.stored+1 >= from {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return f, err
}

// search looks at what the primary stored since the last search.
func (r *replayer) search(ctx context.Context, f *facts) error {
	info, err := r.Primary.info(ctx)
	if err != nil {
		return err
	}
	if err := f.tally.look(ctx, r.Primary, f.seen+1, info.State.LastSeq); err != nil {
		return err
	}
	f.seen = max(f.seen, info.State.LastSeq)
	return nil
}

func (r *replayer) markKey(p *parcel) key {
	return markKey(r.mark(p.seq), p.at.Format(time.RFC3339Nano))
}

// mark is the value of Understudy-Salvage of an origin sequence.
func (r *replayer) mark(seq uint64) string {
	return fmt.Sprintf("%s/%d/%d", r.meta.Name, r.meta.Epoch, seq)
}

// saveEvery is how often a long replay writes down what it has done.
const saveEvery = 10 * time.Second

// save writes down which messages are settled.
func (r *replayer) save(ctx context.Context) error {
	text := r.settled.String()
	if r.saved = time.Now(); r.DryRun || text == r.meta.Settled {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askPatience)
	defer cancel()
	if err := r.Archive.setMeta(ctx, metaSettled, text); err != nil {
		return fmt.Errorf("write down what was replayed: %w", err)
	}
	return nil
}

func (r *replayer) report(now bool) {
	if r.Progress != nil && (now || r.done%progressEvery == 0) {
		r.Progress(Progress{Stage: StageReplay, Done: r.done, Total: max(r.total, r.done), Bytes: r.bytes})
	}
}

// CheckFilter says what is wrong with a subject filter; "" is none.
func CheckFilter(filter string) error {
	if filter == "" {
		return nil
	}
	tokens := strings.Split(filter, ".")
	for i, t := range tokens {
		if t == "" || strings.ContainsAny(t, " \t\r\n") || t == ">" && i < len(tokens)-1 {
			return fmt.Errorf("subject filter %q: it must be a subject, such as orders.*.new or orders.>", filter)
		}
	}
	return nil
}

// matches says whether a filter, which may have wildcards, matches a subject.
func matches(filter, subject string) bool {
	if filter == "" {
		return true
	}
	want, have := strings.Split(filter, "."), strings.Split(subject, ".")
	for i, t := range want {
		if t == ">" && i < len(have) {
			return true
		}
		if i >= len(have) || t != "*" && t != have[i] {
			return false
		}
	}
	return len(want) == len(have)
}
