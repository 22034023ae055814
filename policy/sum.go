package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"strings"
)

// Sum identifies a raw stream config: the hex of the first 8 bytes of the SHA-256 of its compact, key-sorted JSON.
// Two servers that print the same config in another key order give the same sum, and so do two versions of a server,
// which mark each answer with their own `_nats.` metadata. An unreadable config has the sum "".
func Sum(raw json.RawMessage) string {
	var v map[string]any
	if err := json.Unmarshal(raw, &v); err != nil {
		return ""
	}
	if meta, ok := v["metadata"].(map[string]any); ok {
		maps.DeleteFunc(meta, func(k string, _ any) bool { return strings.HasPrefix(k, serverMeta) })
		if len(meta) == 0 {
			delete(v, "metadata")
		}
	}
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}
