package policy

import (
	"encoding/json"
	"fmt"
	"time"
)

// carried are the origin's own settings that a promotion copies to the target: what publishers, key-value and
// republish users rely on. Size limits (max_msgs, max_bytes, max_age), placement, replicas, storage and compression
// stay the target's own: copying a tighter limit would delete messages, and a failover never deletes any. For the
// same reason carryPerSubject copies max_msgs_per_subject only where it is no tighter.
var carried = []string{
	"max_msg_size", "discard", "duplicate_window", "no_ack",
	"subject_transform", "republish", "allow_direct", "allow_rollup_hdrs", "deny_delete", "deny_purge",
	"consumer_limits", "allow_msg_ttl", "subject_delete_marker_ttl", "allow_atomic", "allow_msg_schedules",
	"allow_batched",
}

// oneWay are the settings that the server never lets go back to false: a target that has them keeps them.
var oneWay = map[string]bool{"deny_delete": true, "deny_purge": true, "allow_msg_ttl": true, "allow_msg_schedules": true}

// ParkConfig is the config that takes a stream's subjects away: bound to its parked subject only, and without an age
// limit so that its unreplicated tail does not expire.
func ParkConfig(raw json.RawMessage, id MemberID, s Stamp) (json.RawMessage, error) {
	c, err := parseRaw(raw)
	if err != nil {
		return nil, err
	}
	if c.mirror() != nil {
		return nil, fmt.Errorf("%s is a mirror: parking it would promote it", id)
	}
	c.set("subjects", []string{ParkSubject(id)})
	c.set("max_age", 0)
	c.set("metadata", c.withStamp(s, nil))
	return c.bytes(), nil
}

// UnparkConfig gives a parked stream back the subjects and the age limit that it had in original.
func UnparkConfig(raw, original json.RawMessage, s Stamp) (json.RawMessage, error) {
	c, err := parseRaw(raw)
	if err != nil {
		return nil, err
	}
	o, err := parseRaw(original)
	if err != nil {
		return nil, err
	}
	if c.mirror() != nil || o.mirror() != nil {
		return nil, fmt.Errorf("a mirror cannot be unparked")
	}
	for _, key := range []string{"subjects", "max_age"} {
		if v, ok := o[key]; ok {
			c[key] = v
		} else {
			delete(c, key)
		}
	}
	c.set("metadata", c.withStamp(s, nil))
	return c.bytes(), nil
}

// PromoteConfig turns a mirror into a stream of its own on its parked subject, with the origin's settings carried
// over. origin may be nil when nobody ever read it; the target's own settings then stay.
func PromoteConfig(target, origin json.RawMessage, id MemberID, s Stamp) (json.RawMessage, error) {
	c, err := parseRaw(target)
	if err != nil {
		return nil, err
	}
	inherit := map[string]string{}
	if origin != nil {
		o, err := parseRaw(origin)
		if err != nil {
			return nil, err
		}
		for _, key := range carried {
			if v, ok := o[key]; ok && !(oneWay[key] && string(c[key]) == "true") {
				c[key] = v
			}
		}
		c.carryPerSubject(o)
		o.get("metadata", &inherit)
	}
	c.clampWindow()
	delete(c, "mirror")
	c.set("mirror_direct", false)
	c.set("subjects", []string{ParkSubject(id)})
	c.set("metadata", c.withStamp(s, inherit))
	return c.bytes(), nil
}

// carryPerSubject copies the limit of messages per subject, and what the server allows only beside one, unless that
// would delete messages which the target holds: a mirror may keep a longer history than its origin.
func (c rawConfig) carryPerSubject(o rawConfig) {
	const limit, discard = "max_msgs_per_subject", "discard_new_per_subject"
	var of, own int64
	o.get(limit, &of)
	c.get(limit, &own)
	if of > 0 && (own <= 0 || own > of) {
		return
	}
	for _, key := range []string{limit, discard} {
		if v, ok := o[key]; ok {
			c[key] = v
		}
	}
}

// clampWindow keeps the deduplication window within max_age, beyond which the server refuses the config.
func (c rawConfig) clampWindow() {
	var window, age time.Duration
	c.get("duplicate_window", &window)
	c.get("max_age", &age)
	if age > 0 && window > age {
		c.set("duplicate_window", age)
	}
}

// SealConfig makes a stream's content final. There is no way back, short of deleting it (the server refuses to unseal).
func SealConfig(raw json.RawMessage, s Stamp) (json.RawMessage, error) {
	c, err := parseRaw(raw)
	if err != nil {
		return nil, err
	}
	if c.mirror() != nil {
		return nil, fmt.Errorf("a mirror is not sealed")
	}
	c.set("sealed", true)
	c.set("metadata", c.withStamp(s, nil))
	return c.bytes(), nil
}

// Sealed reports whether a stream takes no message any more.
func Sealed(raw json.RawMessage) bool {
	sealed := false
	mustParse(raw).get("sealed", &sealed)
	return sealed
}

// ownOfMirror are the settings that a stream keeps when it is made again as a mirror: what it costs its site, and where it
// lives there. Everything else is its upstream's.
var ownOfMirror = []string{
	"name", "description", "storage", "num_replicas", "placement", "compression", "max_msgs", "max_bytes", "max_age",
	"max_msgs_per_subject", "max_msg_size", "retention", "allow_direct", "mirror_direct", "allow_msg_ttl", "allow_rollup_hdrs",
	"deny_delete", "persist_mode", "metadata",
}

// MirrorConfig is a member as a mirror of upstream, with its own limits, storage, replicas and placement. external is the
// API prefix by which it reaches upstream, "" in the same meta group; place, when given, is its placement.
func MirrorConfig(own json.RawMessage, id, upstream MemberID, external string, place json.RawMessage, s Stamp) (json.RawMessage, error) {
	o, err := parseRaw(own)
	if err != nil {
		return nil, fmt.Errorf("what %s was made of is not known: %w", id, err)
	}
	c := rawConfig{}
	for _, key := range ownOfMirror {
		if v, ok := o[key]; ok {
			c[key] = v
		}
	}
	if len(place) > 0 {
		c["placement"] = place
	}
	mirror := map[string]any{"name": upstream.Stream}
	if external != "" {
		mirror["external"] = map[string]string{"api": external, "deliver": ""}
	}
	c.set("name", id.Stream)
	c.set("mirror", mirror)
	c.set("metadata", c.withStamp(s, nil))
	return c.bytes(), nil
}

// BindConfig gives a promoted stream the real subjects, and back the age limit that it was bound with before, if a park
// took that away; bound is nil for its first bind.
func BindConfig(raw, bound json.RawMessage, subjects []string, s Stamp) (json.RawMessage, error) {
	c, err := parseRaw(raw)
	if err != nil {
		return nil, err
	}
	if age, ok := mustParse(bound)["max_age"]; ok {
		c["max_age"] = age
	}
	if c.mirror() != nil {
		return nil, fmt.Errorf("a mirror cannot be bound")
	}
	if len(subjects) == 0 {
		return nil, fmt.Errorf("no subjects to bind: the server would bind the stream's own name")
	}
	c.set("subjects", subjects)
	c.set("metadata", c.withStamp(s, nil))
	return c.bytes(), nil
}
