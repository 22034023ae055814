package policy

import (
	"encoding/json"
	"testing"
)

// TestPromoteConfigCarries compares single fields of the config that a promotion writes.
func TestPromoteConfigCarries(t *testing.T) {
	for name, c := range map[string]struct{ target, origin, field, want string }{
		"dedup window":               {`{}`, `{"duplicate_window":60000000000}`, "duplicate_window", `60000000000`},
		"window within the own age":  {`{"max_age":5}`, `{"duplicate_window":60}`, "duplicate_window", `5`},
		"own size limits stay":       {`{"max_msgs":-1}`, `{"max_msgs":10}`, "max_msgs", `-1`},
		"own age stays":              {`{"max_age":0}`, `{"max_age":60}`, "max_age", `0`},
		"mirror gone":                {`{"mirror":{"name":"S"}}`, `{}`, "mirror", ``},
		"no gets in another's name":  {`{"mirror_direct":true}`, `{"mirror_direct":true}`, "mirror_direct", `false`},
		"never bound to its name":    {`{}`, `{"subjects":["events.>"]}`, "subjects", `["$devnull.west.W"]`},
		"what may not go back":       {`{"deny_purge":true}`, `{"deny_purge":false}`, "deny_purge", `true`},
		"unknown fields survive":     {`{"of_a_newer_server":{"a":1}}`, `{}`, "of_a_newer_server", `{"a":1}`},
		"history of a bucket":        {`{"max_msgs_per_subject":5}`, `{"max_msgs_per_subject":5}`, "max_msgs_per_subject", `5`},
		"a longer history is wanted": {`{"max_msgs_per_subject":1}`, `{"max_msgs_per_subject":5}`, "max_msgs_per_subject", `5`},
		"no limit is wanted":         {`{"max_msgs_per_subject":1}`, `{"max_msgs_per_subject":-1}`, "max_msgs_per_subject", `-1`},
		"a tighter one would delete": {`{"max_msgs_per_subject":-1}`, `{"max_msgs_per_subject":1}`, "max_msgs_per_subject", `-1`},
		"nor a little tighter":       {`{"max_msgs_per_subject":9}`, `{"max_msgs_per_subject":5}`, "max_msgs_per_subject", `9`},
		"nor what needs the limit": {`{"max_msgs_per_subject":-1}`, `{"max_msgs_per_subject":1,"discard_new_per_subject":true}`,
			"discard_new_per_subject", ``},
	} {
		raw, err := PromoteConfig([]byte(c.target), []byte(c.origin), MemberID{"west", "W"}, Stamp{Write: "1.promote.1", Watchdog: "wd"})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := field(t, raw, c.field); got != c.want {
			t.Errorf("%s: %s is %s, want %s", name, c.field, got, c.want)
		}
	}
}

// TestAgeLimitComesBack: what a park took from a stream, an unpark and the repair of a bind give back.
func TestAgeLimitComesBack(t *testing.T) {
	id, bound := MemberID{"west", "W"}, json.RawMessage(`{"name":"W","subjects":["events.>"],"max_age":60}`)
	parked, err := ParkConfig(bound, id, Stamp{Write: "2.park.1"})
	if err != nil {
		t.Fatal(err)
	}
	if got := field(t, parked, "max_age"); got != "0" {
		t.Errorf("parked, the tail expires after %s", got)
	}
	unparked, err := UnparkConfig(parked, bound, Stamp{Write: "2.unpark.2"})
	if err != nil {
		t.Fatal(err)
	}
	again, err := BindConfig(parked, bound, []string{"events.>"}, Stamp{Write: "2.bind.3"})
	if err != nil {
		t.Fatal(err)
	}
	for what, raw := range map[string]json.RawMessage{"unparked": unparked, "bound again": again} {
		if age, subjects := field(t, raw, "max_age"), field(t, raw, "subjects"); age != "60" || subjects != `["events.\u003e"]` {
			t.Errorf("%s: max_age %s, subjects %s", what, age, subjects)
		}
	}
	if first, err := BindConfig(parked, nil, []string{"events.>"}, Stamp{}); err != nil || field(t, first, "max_age") != "0" {
		t.Errorf("a first bind changes the age limit: %s %v", first, err)
	}
}

// field is the JSON of one field, "" when it is missing.
func field(t *testing.T, raw json.RawMessage, name string) string {
	t.Helper()
	c, err := parseRaw(raw)
	if err != nil {
		t.Fatal(err)
	}
	return string(c[name])
}
