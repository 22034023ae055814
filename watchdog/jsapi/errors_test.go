package jsapi_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

func TestAPIErrorMatchesItsSentinelOnly(t *testing.T) {
	sentinels := map[string]error{
		"not found": jsapi.ErrNotFound, "offline": jsapi.ErrOffline, "meta": jsapi.ErrMetaUnavailable,
		"overlap": jsapi.ErrOverlap, "no jetstream": jsapi.ErrNoJetStream, "level": jsapi.ErrAPILevel,
		"sequence": jsapi.ErrWrongLastSequence, "overloaded": jsapi.ErrOverloaded, "timeout": jsapi.ErrTimeout,
		"disconnected": jsapi.ErrDisconnected, "auth": jsapi.ErrAuth, "permission": jsapi.ErrPermission,
	}
	for _, tc := range []struct {
		code, errCode int
		want          string
	}{
		{404, 10059, "not found"},
		{500, 10118, "offline"},
		{500, 10194, "offline"},
		{503, 10008, "meta"},
		{400, 10065, "overlap"},
		{503, 10039, "no jetstream"},
		{503, 10076, "no jetstream"},
		{412, 10185, "level"},
		{400, 10071, "sequence"},
		{429, 10167, "overloaded"},
		{429, 0, "overloaded"},
		{400, 10025, ""},
		{404, 10014, ""}, // a consumer that is not found says nothing about the stream
	} {
		err := fmt.Errorf("wrapped: %w", &jsapi.APIError{Code: tc.code, ErrCode: tc.errCode, Description: "words"})
		for name, sentinel := range sentinels {
			if got, want := errors.Is(err, sentinel), name == tc.want; got != want {
				t.Errorf("%d/%d is %q: got %v, want %v", tc.code, tc.errCode, name, got, want)
			}
		}
		var api *jsapi.APIError
		if !errors.As(err, &api) || api.ErrCode != tc.errCode {
			t.Errorf("%d/%d: got %v", tc.code, tc.errCode, api)
		}
	}
}
