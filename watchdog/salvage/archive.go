package salvage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

// Job says what to archive.
type Job struct {
	// Name is the guarded stream's, Epoch that of the failover.
	Name  string
	Epoch uint64
	// Old is the old origin, parked and sealed, or a copy of its store (OpenStore).
	Old Side
	// Primary is the new primary; the archive is made at its site.
	Primary Side
	// Created, unless zero, is when Old was created: one that was deleted and made anew since holds no tail.
	Created time.Time
	// Of is "" for the tail of the former primary. For that of a mirror that had followed it further than the new primary
	// it is the mirror's site: such an archive has a stream of its own.
	Of string
	// Origin is the member that Old is or was, as site/stream, for people; "" is Old's own name.
	Origin string
	// UpTo is the primary's last sequence at its promotion; 0: unknown.
	UpTo uint64
	// Since is when the new primary was bound, by the caller's clock; zero: unknown. What the old origin stored later is
	// counted apart.
	Since time.Time
	// Progress, when set, hears about every thousand messages and at the end of every stage.
	Progress func(Progress)
}

// The stages of a job.
const (
	StageArchive = "archive"
	StageVerify  = "verify"
	StageReplay  = "replay"
)

// Progress is how far a job is. Done and Total count sequences of the tail, those without a message included; in a
// replay they count messages.
type Progress struct {
	Stage string `json:"stage"`
	Done  uint64 `json:"done"`
	Total uint64 `json:"total"`
	Bytes uint64 `json:"bytes"` // of messages, so far
}

// progressEvery is the number of messages between two reports.
const progressEvery = 1000

// Account is what an archive holds, verified. Without a tail, Stream is "" and all but Fork is 0.
type Account struct {
	Stream string `json:"stream"`
	// OldLast is the old origin's last sequence as it was read.
	OldLast   uint64 `json:"old_last"`
	Fork      uint64 `json:"fork"`
	First     uint64 `json:"first"` // origin sequences
	Last      uint64 `json:"last"`
	Messages  uint64 `json:"messages"`
	OnPrimary uint64 `json:"on_primary"` // of Messages: the new primary has them, too
	Bytes     uint64 `json:"bytes"`      // subjects, headers and data
	// FirstAt and LastAt are when the old origin stored the first and the last of them.
	FirstAt time.Time `json:"first_at,omitzero"`
	LastAt  time.Time `json:"last_at,omitzero"`
	// Captured are those that it stored beside the new primary, after Job.Since.
	Captured policy.Stored `json:"captured,omitzero"`
	// Digest is the SHA-256, in hex, of all messages: see DESIGN.md.
	Digest string `json:"digest"`
}

// Tail is the account as the log keeps it, of an archive at a site.
func (a Account) Tail(site string) *policy.Tail {
	if a.Stream == "" {
		site = ""
	}
	return &policy.Tail{Site: site, Stream: a.Stream, Fork: a.Fork, MemberLast: a.OldLast, First: a.First, Last: a.Last,
		FirstAt: a.FirstAt, LastAt: a.LastAt, Captured: a.Captured, Messages: a.Messages, OnPrimary: a.OnPrimary, Bytes: a.Bytes, Digest: a.Digest}
}

// ErrRecreated says that the stream is not the one that held the tail.
var ErrRecreated = errors.New("the stream was created anew")

// Archive copies everything that the old origin holds above the fork to the archive stream of the job's epoch, proves the
// copy by reading both in full, and returns the account. It may be called again after any failure, and by two leaders at
// once: it goes on where the archive ends, and nothing is archived twice. A tail without messages makes no stream. A copy
// that is not equal is a *MismatchError.
func Archive(ctx context.Context, j Job) (Account, error) {
	old, err := j.Old.info(ctx)
	if err != nil {
		return Account{}, fmt.Errorf("archive what %s holds of %s beyond failover %d: %w", j.Old, j.Name, j.Epoch, err)
	}
	account, err := archive(ctx, j, old)
	account.OldLast = old.State.LastSeq
	if err != nil {
		return account, fmt.Errorf("archive what %s holds of %s beyond failover %d: %w", j.Old, j.Name, j.Epoch, err)
	}
	return account, nil
}

func archive(ctx context.Context, j Job, old *jsapi.Info) (Account, error) {
	if !j.Created.IsZero() && !j.Created.Equal(old.Created) {
		return Account{}, fmt.Errorf("%w: it is of %s, not of %s", ErrRecreated, old.Created, j.Created)
	}
	a := &archiver{Job: j, last: old.State.LastSeq}
	a.archive = j.Primary.on(StreamName(j.Name, j.Epoch, j.Of))
	if err := a.open(ctx); err != nil {
		return Account{Fork: a.fork}, err
	}
	if !a.exists {
		return Account{Fork: a.fork}, nil
	}
	if err := a.fill(ctx); err != nil {
		return Account{Fork: a.fork}, err
	}
	account, err := a.verify(ctx)
	if err != nil {
		return account, err
	}
	return account, a.record(ctx, account)
}

// archiver is one job under way.
type archiver struct {
	Job
	archive Side
	exists  bool   // the archive's stream
	fork    uint64 // as the archive has it, once that exists
	last    uint64 // the old origin's last sequence
	bytes   uint64
	// tail adds up what was read from the old origin, as long as all of it was read by this job.
	tail *summary
}

// open finds the archive's stream, or the fork and whether a stream is needed, and then makes one.
func (a *archiver) open(ctx context.Context) error {
	err := a.adopt(ctx)
	if a.exists || !errors.Is(err, jsapi.ErrNotFound) {
		return err
	}
	if a.fork, err = Fork(ctx, a.Old, a.Primary, a.UpTo); err != nil {
		return err
	}
	_, err = a.Old.from(ctx, a.fork+1)
	if errors.Is(err, errNoMessage) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := a.create(ctx); err != nil {
		return err
	}
	if err := a.adopt(ctx); err != nil {
		return err
	}
	return a.archive.ready(ctx, a.subject())
}

// adopt takes the fork of an archive that exists. Two leaders may find different ones, when the primary's limits removed
// messages meanwhile: that of the archive counts.
func (a *archiver) adopt(ctx context.Context) error {
	info, err := a.archive.info(ctx)
	if err != nil {
		return err
	}
	meta, err := readMeta(info)
	if err != nil {
		return fmt.Errorf("stream %s: %w", a.archive, err)
	}
	a.fork, a.exists = meta.Fork, true
	return nil
}

// overtaken is how often in a row an archiver may be refused although nobody else wrote.
const overtaken = 20

// fill copies until the archive ends with the tail.
func (a *archiver) fill(ctx context.Context) error {
	for idle, before := 0, maxSeq; ; {
		at, err := a.place(ctx)
		if err != nil {
			return err
		}
		if at.end != before {
			idle, before = 0, at.end
		} else if idle++; idle > overtaken {
			return errOvertaken
		}
		if a.tail = nil; at.next == a.fork+1 && at.offset == 0 {
			a.tail = newSummary(a.Since)
		}
		done, err := a.copy(ctx, at)
		if done || err != nil && !errors.Is(err, errOvertaken) {
			return err
		}
		if err := a.standstill(ctx); err != nil {
			return err
		}
	}
}

// quiet is how long an archive must not have grown before one who was overtaken goes on: to write beside somebody else
// would only mean that both read everything again and again.
const quiet = time.Second

// standstill waits until nobody writes to the archive.
func (a *archiver) standstill(ctx context.Context) error {
	var end uint64
	tick := time.NewTicker(quiet / 5)
	defer tick.Stop()
	for since := time.Now(); time.Since(since) < quiet; {
		info, err := a.archive.info(ctx)
		if err != nil {
			return err
		}
		if info.State.LastSeq != end {
			end, since = info.State.LastSeq, time.Now()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

// place is where an archive ends.
type place struct {
	end    uint64 // the archive's own last sequence
	next   uint64 // the origin sequence to go on with
	offset int    // in its payload
}

// place reads where the archive ends.
func (a *archiver) place(ctx context.Context) (place, error) {
	info, err := a.archive.info(ctx)
	if err != nil {
		return place{}, err
	}
	at := place{end: info.State.LastSeq, next: a.fork + 1}
	if at.end == 0 {
		return at, nil
	}
	m, err := a.archive.get(ctx, getRequest{Seq: at.end})
	if err != nil {
		return place{}, fmt.Errorf("read the end of %s, message %d: %w", a.archive, at.end, err)
	}
	p, err := readPiece(m)
	if err != nil {
		return place{}, fmt.Errorf("read the end of %s: %w", a.archive, err)
	}
	if at.next = p.seq + 1; !p.last() {
		at.next, at.offset = p.seq, p.end()
	}
	return at, nil
}

// copy archives batch after batch from a place on. It returns true when the tail is through.
func (a *archiver) copy(ctx context.Context, at place) (bool, error) {
	w, err := newWriter(a.archive, a.subject(), at.end)
	if err != nil {
		return false, err
	}
	defer w.close()
	for {
		b, err := a.batch(ctx, at.next)
		if err != nil {
			return false, err
		}
		if b.last == 0 {
			break
		}
		if err := b.each(ctx, a.Old, func(p parcel) error {
			defer func() { at.offset = 0 }()
			return a.put(ctx, w, p, at.offset)
		}); err != nil {
			return false, err
		}
		at.next = b.last + 1
	}
	err = w.flush(ctx)
	a.report(StageArchive, a.last, err == nil)
	return err == nil, err
}

func (a *archiver) put(ctx context.Context, w *writer, p parcel, offset int) error {
	if err := w.put(ctx, p, offset); err != nil {
		return err
	}
	if a.tail != nil {
		a.tail.add(p.message)
	}
	a.bytes += uint64(p.size())
	a.report(StageArchive, p.seq, w.end%progressEvery == 0)
	return nil
}

func (a *archiver) report(stage string, seq uint64, now bool) {
	if now && a.Progress != nil {
		a.Progress(Progress{Stage: stage, Done: seq - a.fork, Total: a.last - a.fork, Bytes: a.bytes})
	}
}
