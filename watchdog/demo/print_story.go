package demo

import (
	"fmt"
	"strconv"

	"github.com/jedib0t/go-pretty/v6/table"
)

// storyAccounts is the table of a story.
func (t *teller) storyAccounts(r Result) string {
	missed := strconv.Itoa(r.Missed)
	if r.Consumers == 0 {
		missed = "not carried"
	}
	return accountTable([]table.Row{
		{"acked", r.Acked, "threshold", ms(r.ThresholdMS)},
		{"on the primary without a replay", r.OnPrimary, "fault → decided", ms(r.DecideMS)},
		{"left behind by the failover: the tail", r.Tail, "decided → subjects bound", ms(r.PromoteMS)},
		{"  archived", r.Salvaged, "acks again, beyond the threshold", ms(r.BeyondThresholdMS)},
		{"  replayed, unacked ones included", r.Replayed, "longest time without an ack", ms(r.PublishGapMS)},
		{"lost", r.Lost, "old origin took messages, too", ms(r.DualCaptureMS)},
		{"stored twice", r.Duplicates, "the same in the switchover", ms(r.SwitchoverGapMS)},
		{"missed by the durable", missed, "", ""},
		{"got by it more than once", r.Redelivered, "", ""},
	})
}

// storyVerdict is the last line.
func (t *teller) storyVerdict(r Result) string {
	if r.OK {
		return t.Good("ok") + ": there and back, every acked message is on the primary, and none twice. Next: README.md"
	}
	return fmt.Sprintf("Expected %s; got %s/%s, %d promoted by the failover,\n%d lost, %d stored twice, %d of %d in the tail archived.\n",
		r.Expected, r.Outcome, r.Reason, r.Promotions, r.Lost, r.Duplicates, r.Salvaged, r.Tail) +
		t.Bad("NOT OK") + ": see the ends of the watchdogs' logs above; with --keep all files stay"
}
