package probe

import (
	"errors"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

// unanswered says what a question without answer shows, given what the same API said of itself meanwhile. That speaks
// at once where INFO hesitates: without a meta leader INFO is answered after 500 ms only.
func unanswered(api error) (policy.Evidence, string) {
	switch {
	case api == nil:
		return policy.Timeout, "STREAM.INFO was not answered in time; the API as such answers"
	case errors.Is(api, jsapi.ErrMetaUnavailable):
		return policy.MetaUnavailable, api.Error()
	case errors.Is(api, jsapi.ErrNoJetStream):
		return policy.JetStreamOff, api.Error()
	}
	return policy.Timeout, "STREAM.INFO was not answered in time; the API as such: " + api.Error()
}

// tells says whether evidence met through another site is about the member at all, and not about the way to it. api is
// what the API there said of itself, when the member's question was not answered.
func tells(e policy.Evidence, api error) bool {
	switch e {
	case policy.Disconnected, policy.AuthError, policy.PermissionDenied, policy.Overloaded, policy.NoResponders,
		policy.JetStreamOff:
		return false
	case policy.Timeout:
		return api == nil
	}
	return true
}
