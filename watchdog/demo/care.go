package demo

import (
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
)

// careOf is what was told of the care of one member.
type careOf struct {
	epoch uint64
	steps int
	last  policy.Phase // the one that ran when it was looked at last
	since time.Time
}

// lookAtCare tells the phases that the care of a member has gone through since the last look. A care that is over is
// listed no more: then what ran last is done, too.
func (w *watcher) lookAtCare(e api.StreamStatus) {
	running := map[string]bool{}
	for _, c := range e.Aftercare {
		key := c.Member.String()
		told, ok := w.care[key]
		if !ok || told.epoch != c.Epoch {
			told = careOf{epoch: c.Epoch, since: c.BeganAt}
		}
		for ; told.steps < len(c.Steps); told.steps++ {
			s := c.Steps[told.steps]
			w.careStep(s.At, key, s.Phase, s.Took, s.Text)
			told.since = s.At
		}
		told.last = c.Phase
		w.care[key], running[key] = told, true
	}
	for key, told := range w.care {
		if running[key] {
			continue
		}
		if told.last == policy.PhaseCatchUp {
			w.careStep(time.Now(), key, told.last, time.Since(told.since), key+" has caught up")
		}
		delete(w.care, key)
	}
}

func (w *watcher) careStep(at time.Time, member string, p policy.Phase, took time.Duration, text string) {
	switch p {
	case policy.PhaseArchive: // told by the log, with its account
		text = member + " is archived as far as it has more than the new primary"
	case policy.PhaseArchived:
		return
	}
	w.tell.at(at, "watchdogs", "phase_done", phaseText(string(p), took, text))
}
