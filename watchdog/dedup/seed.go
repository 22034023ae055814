package dedup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

const (
	// defaultBudget is how long a failover may wait for its seeding: six times what 100,000 ids take in an R3 stream.
	defaultBudget = 10 * time.Second
	// cleanUp limits the purge, beyond the budget.
	cleanUp = 15 * time.Second
	// poll is the time between two looks at what a server is about to finish.
	poll = 5 * time.Millisecond
	// firstReady is how long an answer is waited for at first, longestReady at last.
	firstReady   = 100 * time.Millisecond
	longestReady = 2 * time.Second
	// readyPatience is how long a leader is waited for: an election takes some seconds.
	readyPatience = 10 * time.Second
)

// ErrNotParked: the stream is not promoted onto its parked subject alone, so that nothing may be published there.
var ErrNotParked = errors.New("the stream is not promoted and parked")

// ErrNotClean: seeds may be left in the stream; Seed again purges them.
var ErrNotClean = errors.New("seeds may be left in the stream")

// Job is one seeding.
type Job struct {
	// Member is the promoted stream, bound to policy.ParkSubject alone.
	Member policy.MemberID
	// MaxIDs is how many ids are seeded at most; the newest are.
	MaxIDs int
	// LastSeq is the stream's last sequence at its promotion; 0 when unknown. What is above it is not read.
	LastSeq uint64
	// Window is the time in which ids count; 0 means the stream's own duplicate_window.
	Window time.Duration
	// Outage is how long the origin has been gone, or 0. The window is counted back from the moment at which the origin
	// went, but from the stream's newest message at the latest: from there alone if Outage is 0.
	Outage time.Duration
	// Budget limits the publishing; 0 means 10 s. When it is over, the ids that are left stay unknown.
	Budget time.Duration
	// Gathered ids, when set, are not read again.
	Gathered *Ids
	// Fresh is the server's reply to the caller's own promotion of the stream, if nobody has published on its parked subject
	// since; nil otherwise.
	Fresh *jsapi.Info
}

// Account is what a seeding came to.
type Account struct {
	// Seeded ids were made known; Known ones were before, from an earlier run.
	Seeded int `json:"seeded"`
	Known  int `json:"known"`
	// LeftOut ids of the window were found, and not made known; Why says for what reason.
	LeftOut int    `json:"left_out,omitempty"`
	Why     string `json:"why,omitempty"`
	// Skipped says why nothing was tried.
	Skipped string `json:"skipped,omitempty"`
	// Burned sequences are taken by the seeds: the stream's next message follows LastSeq.
	Burned  uint64 `json:"burned_sequences"`
	LastSeq uint64 `json:"last_seq"`
	// Missing real messages went meanwhile although nothing expires. It is 0.
	Missing uint64        `json:"missing,omitempty"`
	Took    time.Duration `json:"took"`
}

// Seed makes the ids known, and returns when the stream holds what it held before. It may be called again after any
// error or crash, by any leader, until the stream is bound; the end is the same. The caller's connection must be one
// that does not outlive its term, since what is published on it is not taken back.
//
// An error says that the work was not finished: ErrNotParked, ErrNotClean, or what jsapi tells of a stream that does not
// answer. What the stream's own settings forbid is no error, but Account.Skipped.
func Seed(ctx context.Context, conn *jsapi.Conn, job Job) (Account, error) {
	began := time.Now()
	s, err := open(ctx, conn, job)
	if err != nil {
		return Account{}, fmt.Errorf("seed message ids of %s: %w", job.Member, err)
	}
	acc, err := s.run(ctx)
	acc.Took = time.Since(began)
	if err != nil {
		return acc, fmt.Errorf("seed message ids of %s: %w", job.Member, err)
	}
	return acc, nil
}

// Clean removes what an earlier Seed has left, from a stream that may be bound by now: the server takes a purge of a subject
// that is no longer the stream's.
func Clean(ctx context.Context, conn *jsapi.Conn, member policy.MemberID) error {
	s := seeding{Job: Job{Member: member}, seed: seed{subject: policy.ParkSubject(member), stream: member.Stream}, conn: conn}
	if _, err := s.purge(ctx, purging{settled: true}); err != nil {
		return fmt.Errorf("clean %s of seeds: %w", member, err)
	}
	return nil
}

// seeding is one Seed under way.
type seeding struct {
	Job
	seed   seed
	conn   *jsapi.Conn
	js     jetstream.JetStream
	target target
}

// connect prepares a job, and reads what its stream is.
func connect(ctx context.Context, conn *jsapi.Conn, job Job) (*seeding, *jsapi.Info, error) {
	nc, err := conn.Client()
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.NewWithDomain(nc, conn.Domain())
	if conn.Domain() == "" {
		js, err = jetstream.New(nc)
	}
	if job.Budget <= 0 {
		job.Budget = defaultBudget
	}
	if err != nil {
		return nil, nil, err
	}
	s := &seeding{Job: job, seed: seed{subject: policy.ParkSubject(job.Member), stream: job.Member.Stream}, conn: conn, js: js}
	if job.Fresh != nil {
		return s, job.Fresh, nil
	}
	info, err := conn.Info(ctx, job.Member.Stream)
	return s, info, err
}

// open reads the target, and refuses one that is not parked.
func open(ctx context.Context, conn *jsapi.Conn, job Job) (*seeding, error) {
	s, info, err := connect(ctx, conn, job)
	if err != nil {
		return nil, err
	}
	if s.target, err = readTarget(info, s.seed.subject); err != nil {
		return nil, err
	}
	if s.Window <= 0 {
		s.Window = s.target.config.Window
	}
	return s, nil
}

// run goes through the steps. No step depends on what an earlier run did.
func (s *seeding) run(ctx context.Context) (Account, error) {
	acc := Account{LastSeq: s.target.state.LastSeq}
	if acc.Skipped = s.target.unfit(s.seed.subject); acc.Skipped != "" {
		return acc, nil
	}
	if s.MaxIDs <= 0 {
		acc.Skipped = "no id is asked for"
		return acc, nil
	}
	before := s.target.state
	if s.Fresh == nil {
		var err error
		if before, err = s.purge(ctx, purging{}); err != nil { // of a run that died
			return acc, err
		}
	}
	ids, err := s.newest(ctx)
	if err != nil {
		return acc, err
	}
	s.target.state.Messages, s.target.state.Bytes = before.Messages, before.Bytes
	fits, why := s.target.fitting(ids, s.seed)
	if acc.LeftOut, acc.Why = len(ids)-len(fits), why; len(fits) == 0 {
		return acc, nil
	}
	return s.publish(ctx, fits, acc, before)
}

// publish seeds the ids while the stream's consumers stand still, and removes the seeds again.
func (s *seeding) publish(ctx context.Context, ids []string, acc Account, before jsapi.State) (Account, error) {
	resume, err := s.pauseConsumers(ctx)
	if err != nil {
		return acc, err
	}
	defer resume(ctx)
	if s.Fresh != nil && len(ids) <= inFlight {
		if after, ok := s.counted(ctx, ids, before); ok {
			acc.Seeded, acc.LastSeq, acc.Burned = len(ids), after.LastSeq, after.LastSeq-before.LastSeq
			return acc, nil
		}
	}
	told, err := s.tell(ctx, ids)
	acc.Seeded, acc.Known, acc.LeftOut = told.seeded, told.known, acc.LeftOut+told.left
	if told.why != "" {
		acc.Why = told.why
	}
	if err != nil {
		return acc, fmt.Errorf("%w: %w", ErrNotClean, err)
	}
	after, err := s.purge(ctx, purging{known: told.seeded > 0, settled: told.settled})
	if err != nil {
		return acc, err
	}
	acc.LastSeq, acc.Burned = after.LastSeq, after.LastSeq-before.LastSeq
	if after.Messages < before.Messages && !s.target.expires() {
		acc.Missing = before.Messages - after.Messages
	}
	return acc, nil
}

// ready waits until a leader takes publishes: on replicas the reply to the promotion does not mean that.
func (s *seeding) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyPatience)
	defer cancel()
	for wait := firstReady; ; wait = min(2*wait, longestReady) { // a publish may be lost while a leader is elected
		asked, done := context.WithTimeout(ctx, wait)
		err := s.conn.Ready(asked, s.seed.subject)
		done()
		if err == nil || errors.Is(err, jsapi.ErrPermission) || errors.Is(err, jsapi.ErrDisconnected) {
			return err
		}
		if pause(ctx, poll); ctx.Err() != nil {
			return err
		}
	}
}

// purging is what is known before a purge.
type purging struct {
	known   bool // there are seeds
	settled bool // all that was published has been answered
}

// purge removes all that is on the parked subject, once all that was published there has been taken or refused, and
// returns what the stream holds then. Without seeds it only looks, unless they are known to be there.
func (s *seeding) purge(ctx context.Context, p purging) (jsapi.State, error) {
	ctx, cancel := context.WithTimeout(ctx, cleanUp)
	defer cancel()
	if !p.settled {
		// The answer to this comes after those to all that was published before on the same connection.
		if err := s.ready(ctx); err != nil {
			return jsapi.State{}, fmt.Errorf("%w: %w", ErrNotClean, err)
		}
	}
	for known := p.known; ; {
		var err error
		if known {
			err = s.conn.Purge(ctx, s.Member.Stream, s.seed.subject)
		}
		state, seeds, counted := s.seeds(ctx)
		if counted == nil && seeds == 0 {
			return state, nil
		}
		if known = true; err == nil && counted == nil {
			continue
		}
		if pause(ctx, poll); ctx.Err() != nil {
			return state, fmt.Errorf("%w: %d of them: %w", ErrNotClean, seeds, errors.Join(err, counted, ctx.Err()))
		}
	}
}

// seeds counts what is on the parked subject.
func (s *seeding) seeds(ctx context.Context) (jsapi.State, uint64, error) {
	info, err := s.conn.InfoOf(ctx, s.Member.Stream, s.seed.subject)
	if err != nil {
		return jsapi.State{}, 0, err
	}
	return info.State, info.State.Subjects[s.seed.subject], nil
}

// pause waits, unless ctx ends before.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
