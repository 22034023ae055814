package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// Sum identifies a raw stream config: the hex of the first 8 bytes of the SHA-256 of its compact, key-sorted JSON.
// Two servers that print the same config in another key order give the same sum. An unreadable config has the sum "".
func Sum(raw json.RawMessage) string {
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return ""
	}
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}
