package demo

import (
	"fmt"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
)

// careOf is what was told of the care of one member.
type careOf struct {
	policy.Aftercare           // as it was looked at last
	seen             time.Time // when that was
	told             int       // steps
}

// lookAtCare tells what care of a member has begun, and the phases that it has gone through, since the last look. A care
// that is over is listed no more: then what ran last is done, too.
func (w *watcher) lookAtCare(e api.StreamStatus, now time.Time) {
	running := map[string]bool{}
	for _, c := range e.Aftercare {
		key := c.Member.String()
		was, ok := w.care[key]
		if !ok || !was.BeganAt.Equal(c.BeganAt) {
			was = careOf{}
			w.tell.at(c.BeganAt, "watchdogs", "aftercare_started", careText(c.Aftercare, e.Primary))
		}
		for ; was.told < len(c.Steps); was.told++ {
			w.careStep(c.Steps[was.told])
		}
		w.care[key], running[key] = careOf{c.Aftercare, now, was.told}, true
	}
	for key, c := range w.care {
		if !running[key] {
			w.careEnded(c)
			delete(w.care, key)
		}
	}
}

// careEnded tells the last phase, by when it was seen running last.
func (w *watcher) careEnded(c careOf) {
	if c.Phase == policy.PhaseCatchUp && len(c.Steps) > 0 {
		w.careStep(policy.StepRecord{Phase: c.Phase, Took: c.seen.Sub(c.Steps[len(c.Steps)-1].At), At: c.seen,
			Text: fmt.Sprintf("%s holds all that %s holds", c.Member, c.Follow)})
	}
}

func (w *watcher) careStep(s policy.StepRecord) {
	if s.Phase != policy.PhaseArchived { // no work, but the word to go on
		w.tell.at(s.At, "watchdogs", "phase_done", phaseText(string(s.Phase), s.Took, s.Text))
	}
}

func careText(c policy.Aftercare, primary policy.MemberID) string {
	if c.Kind == policy.CareRepoint {
		return fmt.Sprintf("NEXT: %s still follows the former primary, and is made a mirror of %s", c.Member, primary)
	}
	return fmt.Sprintf("NEXT: what only %s holds is archived; then it is made a mirror of %s", c.Member, primary)
}
