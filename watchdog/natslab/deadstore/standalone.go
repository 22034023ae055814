package deadstore

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/minio/highwayhash"
)

// rawJSON is a field of a config that is kept as it is unless it is edited.
type rawJSON = json.RawMessage

// makeStandalone edits the configs in a store copy so that a standalone server
// takes every stream and removes nothing: one replica, since it refuses more, no
// age limit, and retention by limits. All else is kept, the time of creation
// included.
func makeStandalone(dir, account string) error {
	streams := streamsDir(dir, account)
	names, err := folders(streams)
	if err != nil {
		return err
	}
	for _, name := range names {
		stream := filepath.Join(streams, name)
		if err := editMeta(stream, name, standaloneStream); err != nil {
			return fmt.Errorf("edit the config of stream %s: %w", name, err)
		}
		consumers, err := folders(filepath.Join(stream, "obs"))
		if err != nil {
			return err
		}
		for _, c := range consumers {
			if err := editMeta(filepath.Join(stream, "obs", c), name+"/"+c, standaloneConsumer); err != nil {
				return fmt.Errorf("edit the config of consumer %s of %s: %w", c, name, err)
			}
		}
	}
	return nil
}

func standaloneStream(config map[string]rawJSON) {
	config["num_replicas"] = rawJSON("1")
	config["max_age"] = rawJSON("0")
	config["retention"] = rawJSON(`"limits"`)
}

func standaloneConsumer(config map[string]rawJSON) {
	config["num_replicas"] = rawJSON("0")
}

// editMeta changes one meta.inf, and its checksum as the server writes it: a
// 64-bit HighwayHash keyed by the SHA-256 of the name (writeStreamMeta and
// writeConsumerMeta in the server's filestore.go).
func editMeta(dir, name string, edit func(map[string]rawJSON)) error {
	file := filepath.Join(dir, "meta.inf")
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var config map[string]rawJSON
	if err := json.Unmarshal(text, &config); err != nil {
		return fmt.Errorf("decode %s: %w", file, err)
	}
	edit(config)
	if text, err = json.Marshal(config); err != nil {
		return err
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return err
	}
	sum := hex.EncodeToString(checksum(name, text))
	return os.WriteFile(filepath.Join(dir, "meta.sum"), []byte(sum), 0o600)
}

// checksum is the 64-bit HighwayHash of the parts, keyed by a name.
func checksum(name string, parts ...[]byte) []byte {
	key := sha256.Sum256([]byte(name))
	h, err := highwayhash.NewDigest64(key[:])
	if err != nil {
		panic(err) // only for a key of another length
	}
	for _, p := range parts {
		_, _ = h.Write(p) // a hash never fails
	}
	return h.Sum(nil)
}

func streamsDir(dir, account string) string {
	return filepath.Join(dir, "jetstream", account, "streams")
}

// folders lists the folders in one; none when that is absent.
func folders(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}
