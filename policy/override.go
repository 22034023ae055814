package policy

import (
	"maps"
	"slices"
	"time"
)

// OverrideLasts is how long a signal or a failover command is tried before it expires with its reason.
const OverrideLasts = 10 * time.Second

// maxOverrides is how many requests are kept, so that those who asked can read what became of theirs.
const maxOverrides = 32

// clockStep is how far a new leader's clock may lag behind without ending a request at once.
const clockStep = time.Second

// Expired reports whether a request's time is over. One that lies in the future does not wait for a clock that is
// behind: it would be armed for longer than anybody meant.
func (o Override) Expired(now time.Time) bool {
	age := now.Sub(o.At)
	return age > OverrideLasts || age < -clockStep
}

// Names reports whether the request is for a stream.
func (o Override) Names(stream string) bool {
	return len(o.Streams) == 0 || slices.Contains(o.Streams, stream)
}

// OverrideByID returns a request that was logged.
func (s State) OverrideByID(id string) (Override, bool) {
	i := slices.IndexFunc(s.Overrides, func(o Override) bool { return o.ID == id })
	if i < 0 {
		return Override{}, false
	}
	return s.Overrides[i], true
}

// Unanswered lists the requests for a stream that have no outcome yet, expired or not, oldest first.
func (s State) Unanswered(stream string) []Override {
	var list []Override
	for _, o := range s.Overrides {
		if _, answered := o.Outcomes[stream]; o.Names(stream) && !answered {
			list = append(list, o)
		}
	}
	return list
}

// overridesOf lists the requests that may still be acted upon for a stream.
func (s State) overridesOf(stream string) []Override {
	return slices.DeleteFunc(s.Unanswered(stream), func(o Override) bool { return o.Expired(s.At) })
}

// liveOverride returns the newest request to fail the stream over now that has not expired or been answered.
func (s State) liveOverride(stream string) *Override {
	list := s.overridesOf(stream)
	if len(list) == 0 {
		return nil
	}
	return &list[len(list)-1]
}

// override takes a request, once.
func (s State) override(c Command) State {
	o := c.Override.Override
	if _, known := s.OverrideByID(o.ID); known {
		return s
	}
	o.At = c.At
	keep := s.Overrides
	if len(keep) >= maxOverrides {
		keep = keep[len(keep)-maxOverrides+1:]
	}
	s.Overrides = append(slices.Clone(keep), o)
	s.note(c.At, "", 0, "override", Reason{Code: InProgress, Text: o.By + " asked to fail over now: " + o.ID})
	return s
}

// answer enters what became of a request for one stream. The list is copied: an older State may still be read.
func (s *State) answer(id, stream string, r Reason) {
	i := slices.IndexFunc(s.Overrides, func(o Override) bool { return o.ID == id })
	if i < 0 {
		return
	}
	s.Overrides = slices.Clone(s.Overrides)
	o := &s.Overrides[i]
	outcomes := map[string]Reason{}
	maps.Copy(outcomes, o.Outcomes)
	outcomes[stream] = r
	o.Outcomes = outcomes
}
