package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
)

const (
	// switchoverDeadline is the operator's: a switchover that takes longer goes back.
	switchoverDeadline = 20 * time.Second
	// resumedAcks are acks of each publisher after which the gap of the switchover is over.
	resumedAcks = 5
)

// switchBack makes the origin the primary again, by the operator's command.
func (st *story) switchBack(ctx context.Context) error {
	if err := st.chapter(ctx, "3. The way back: a switchover, while everybody publishes"); err != nil {
		return err
	}
	st.attempts = len(st.p.since(0))
	if err := st.switchOver(ctx); err != nil {
		return err
	}
	if err := st.until(ctx, "publishers go on", func() error { return st.p.flowingSince(st.attempts, streamName, resumedAcks) }); err != nil {
		return err
	}
	var resumed time.Time
	if st.gap, resumed = longestGap(st.p.since(st.attempts)); st.w.resumed.Before(resumed) { // else the watcher has told it
		st.tell.at(resumed, "publishers", "resumed", fmt.Sprintf("go on; nothing was acked for %d ms", st.gap.Milliseconds()))
	}
	if err := st.lookForDurable(ctx); err != nil {
		return err
	}
	if err := st.listen(ctx); err != nil {
		return err
	}
	if err := st.until(ctx, "all follow the origin again", func() error { return inOrder(st.w.stream) }); err != nil {
		return err
	}
	st.tell.chapter("4. The accounts")
	return nil
}

// switchOver asks for a switchover until one is done. On a busy machine one may go back: then all is as it was before.
func (st *story) switchOver(ctx context.Context) error {
	for epoch := st.w.stream.Epoch; ; {
		if err := st.askForSwitchover(ctx, epoch); err != nil {
			return err
		}
		err := st.until(ctx, "the switchover", func() error {
			if l := st.w.stream.Last; st.w.stream.Attempt != nil || l == nil || l.Epoch <= epoch {
				return fmt.Errorf("it is at %s", st.w.stream.Phase)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if st.w.stream.Last.Phase == policy.PhaseDone {
			return nil
		}
		epoch = st.w.stream.Last.Epoch
	}
}

// askForSwitchover asks until there is one after an epoch: right after a rejoin it may be refused for a moment, and the
// answer may be lost.
func (st *story) askForSwitchover(ctx context.Context, epoch uint64) error {
	r := api.Request{Verb: api.VerbSwitchover, Stream: streamName, Site: origin, By: "operator", DeadlineMS: switchoverDeadline.Milliseconds()}
	st.tell.now("operator", "command", fmt.Sprintf("understudy switchover %s --to %s", streamName, origin))
	return st.until(ctx, "a switchover is granted", func() error {
		if st.w.stream.Epoch > epoch {
			return nil
		}
		ctx, cancel := context.WithTimeout(ctx, api.Timeout)
		defer cancel()
		resp, err := st.w.dogs()[0].Client().Do(ctx, r)
		if err == nil && resp.Outcome != api.OutcomeDone {
			err = fmt.Errorf("%s: %s", resp.Outcome, resp.Reason.Text)
		}
		return err
	})
}

// longestGap is the longest time between two acks, of whichever publisher outside, and when it ended.
func longestGap(list []attempt) (gap time.Duration, end time.Time) {
	var last time.Time
	for _, a := range list {
		if a.end != ackOK || a.who >= publisherCount || a.at.Before(last) {
			continue
		}
		if !last.IsZero() && a.at.Sub(last) > gap {
			gap, end = a.at.Sub(last), a.at
		}
		last = a.at
	}
	return gap, end
}
