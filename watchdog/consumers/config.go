package consumers

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// rawConfig is a config of which every field survives, those that this build does not know too.
type rawConfig map[string]json.RawMessage

func parseConfig(raw json.RawMessage) (rawConfig, error) {
	c := rawConfig{}
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, fmt.Errorf("unreadable consumer config: %w", err)
	}
	return c, nil
}

// set panics on what JSON cannot say, which no caller passes.
func (c rawConfig) set(key string, value any) {
	b, err := json.Marshal(value)
	if err != nil {
		panic("consumers: " + err.Error())
	}
	c[key] = b
}

func (c rawConfig) bytes() json.RawMessage {
	b, err := json.Marshal(c) // of raw messages that were parsed or made by set: cannot fail
	if err != nil {
		panic("consumers: " + err.Error())
	}
	return b
}

// serverPrivate begins the keys of metadata that belong to the server.
const serverPrivate = "_nats."

// ownConfig is a consumer's own config as a promoted stream is to get it: held by our pause, without the metadata of the
// server, and with no more replicas than the stream has. requires is the API level that the server it came from says it
// needs. note is what had to be changed for good.
func (t Target) ownConfig(raw json.RawMessage) (c rawConfig, requires, note string, err error) {
	if c, err = parseConfig(raw); err != nil {
		return nil, "", "", err
	}
	s := settingsOf(raw)
	requires = s.Metadata[serverPrivate+"req.level"]
	maps.DeleteFunc(s.Metadata, func(key, _ string) bool { return strings.HasPrefix(key, serverPrivate) })
	delete(c, "metadata")
	if len(s.Metadata) > 0 {
		c.set("metadata", s.Metadata)
	}
	if s.Replicas > t.Replicas || s.Replicas != 0 && s.Replicas != t.Replicas && t.Retention != retentionOfLimits {
		c.set("num_replicas", t.Replicas)
		note = fmt.Sprintf("num_replicas is %d as the stream's, it was %d", t.Replicas, s.Replicas)
	}
	c.set("pause_until", mark(t.Epoch))
	return c, requires, note, nil
}

// at returns a copy that begins at a sequence, whatever its own beginning was.
func (c rawConfig) at(seq uint64) rawConfig {
	c = maps.Clone(c)
	c.set("deliver_policy", byStartSequence)
	c.set("opt_start_seq", seq)
	delete(c, "opt_start_time")
	return c
}

// lookConfig is a consumer of the same beginning and filters that nobody uses: it is asked where it would begin and how
// much is before it, and forgotten by the server in seconds.
func (c rawConfig) lookConfig(name string) rawConfig {
	look := rawConfig{}
	for _, key := range []string{"deliver_policy", "opt_start_seq", "opt_start_time", "filter_subject", "filter_subjects"} {
		if v, ok := c[key]; ok {
			look[key] = v
		}
	}
	look.set("name", name)
	look.set("ack_policy", "none")
	look.set("mem_storage", true)
	look.set("num_replicas", 1)
	look.set("inactive_threshold", lookLasts)
	return look
}

// lookLasts is how long the server keeps a consumer that was made only to be looked at, if it is not deleted.
const lookLasts = 5 * time.Second

// lost names the fields that were asked for and that the server did not take: an older one drops what it does not know.
func lost(want rawConfig, got json.RawMessage) []string {
	have, err := parseConfig(got)
	if err != nil {
		return nil // it was read already
	}
	var names []string
	for key, v := range want {
		if _, ok := have[key]; !ok && !isZero(v) {
			names = append(names, key)
		}
	}
	slices.Sort(names)
	return names
}

func isZero(v json.RawMessage) bool {
	switch string(v) {
	case "null", "0", `""`, "false", "[]", "{}":
		return true
	}
	return false
}
