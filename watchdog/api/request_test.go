package api

import (
	"errors"
	"testing"
)

// TestAdoptRequests: what belongs to adopt is taken with it, and with nothing else.
func TestAdoptRequests(t *testing.T) {
	for name, c := range map[string]struct {
		r  Request
		ok bool
	}{
		"plain":           {Request{Verb: VerbAdopt, Stream: "S"}, true},
		"with a primary":  {Request{Verb: VerbAdopt, Stream: "S", Site: "west"}, true},
		"dry run":         {Request{Verb: VerbAdopt, Stream: "S", DryRun: true}, true},
		"no stream":       {Request{Verb: VerbAdopt}, false},
		"allow_loss":      {Request{Verb: VerbAdopt, Stream: "S", AllowLoss: true}, false},
		"abandon":         {Request{Verb: VerbAdopt, Stream: "S", Site: "west", Abandon: true}, false},
		"failover dry":    {Request{Verb: VerbFailover, Stream: "S", DryRun: true}, false},
		"hold for a site": {Request{Verb: VerbHold, Site: "west"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			c.r.By = "op"
			if err := c.r.Validate(); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrBadRequest) {
				t.Errorf("%+v: %v, want it taken: %v", c.r, err, c.ok)
			}
		})
	}
}
