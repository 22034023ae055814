package salvage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

const (
	streamPrefix  = "UNDERSTUDY_SALVAGE_"
	subjectPrefix = "understudy.salvage."
)

// maxSeq stands for a stream's end.
const maxSeq uint64 = math.MaxUint64

// StreamName is the archive's, of one failover of a guarded stream; of is as in Job.
func StreamName(name string, epoch uint64, of string) string {
	return streamPrefix + name + "_" + strconv.FormatUint(epoch, 10) + after("_", of)
}

// Subject is the one on which the archive takes its messages.
func Subject(name string, epoch uint64, of string) string {
	return subjectPrefix + name + "." + strconv.FormatUint(epoch, 10) + after(".", of)
}

func after(separator, of string) string {
	if of == "" {
		return ""
	}
	return separator + of
}

func (a *archiver) subject() string { return Subject(a.Name, a.Epoch, a.Of) }

// The keys of an archive's metadata.
const (
	metaName    = "understudy.salvage.name"
	metaEpoch   = "understudy.salvage.epoch"
	metaFork    = "understudy.salvage.fork"
	metaOf      = "understudy.salvage.of"
	metaOrigin  = "understudy.salvage.origin"
	metaPrimary = "understudy.salvage.primary"
	metaAccount = "understudy.salvage.account"  // JSON, once verified
	metaSettled = "understudy.salvage.replayed" // see settled
)

// meta is what an archive says of itself.
type meta struct {
	Name    string
	Epoch   uint64
	Of      string
	Fork    uint64
	Origin  string
	Primary string
	Account *Account // nil: not verified yet
	Settled string
}

// errForeign is a stream of an archive's name that is none.
var errForeign = errors.New("it is not an archive of ours")

func readMeta(info *jsapi.Info) (meta, error) {
	var config struct {
		Metadata map[string]string `json:"metadata"`
	}
	if err := json.Unmarshal(info.Config, &config); err != nil {
		return meta{}, fmt.Errorf("unreadable config: %w", err)
	}
	in := config.Metadata
	m := meta{Name: in[metaName], Of: in[metaOf], Origin: in[metaOrigin], Primary: in[metaPrimary], Settled: in[metaSettled]}
	var badEpoch, badFork error
	m.Epoch, badEpoch = strconv.ParseUint(in[metaEpoch], 10, 64)
	m.Fork, badFork = strconv.ParseUint(in[metaFork], 10, 64)
	if m.Name == "" || badEpoch != nil || badFork != nil {
		return meta{}, errForeign
	}
	if text := in[metaAccount]; text != "" {
		m.Account = &Account{}
		if err := json.Unmarshal([]byte(text), m.Account); err != nil {
			return meta{}, fmt.Errorf("%s: %w", metaAccount, err)
		}
	}
	return m, nil
}

// create makes the archive's stream: on file, with the primary's replicas and placement, without limits, and so that
// its messages cannot be deleted one by one.
func (a *archiver) create(ctx context.Context) error {
	primary, err := a.Primary.info(ctx)
	if err != nil {
		return err
	}
	var like struct {
		Replicas  int             `json:"num_replicas"`
		Placement json.RawMessage `json:"placement,omitempty"`
	}
	if err := json.Unmarshal(primary.Config, &like); err != nil {
		return fmt.Errorf("unreadable config of %s: %w", a.Primary, err)
	}
	if like.Placement == nil && primary.Cluster != nil && primary.Cluster.Name != "" {
		like.Placement, _ = json.Marshal(map[string]string{"cluster": primary.Cluster.Name}) // strings always marshal
	}
	origin := a.Origin
	if origin == "" {
		origin = a.Old.String()
	}
	config := map[string]any{
		"name": a.archive.Stream, "subjects": []string{a.subject()},
		"description": fmt.Sprintf("What %s held of %s beyond failover %d", origin, a.Name, a.Epoch),
		"storage":     "file", "retention": "limits", "discard": "new", "num_replicas": max(like.Replicas, 1),
		"max_msgs": -1, "max_bytes": -1, "max_age": 0, "max_msgs_per_subject": -1, "max_msg_size": -1, "max_consumers": -1,
		"deny_delete": true, "deny_purge": true, "allow_direct": true,
		"metadata": map[string]string{
			metaName: a.Name, metaEpoch: strconv.FormatUint(a.Epoch, 10), metaFork: strconv.FormatUint(a.fork, 10),
			metaOf: a.Of, metaOrigin: origin, metaPrimary: a.Primary.String(),
		},
	}
	if like.Placement != nil {
		config["placement"] = like.Placement
	}
	err = a.archive.ask(ctx, "STREAM.CREATE."+a.archive.Stream, config, &struct{}{})
	if exists := (*jsapi.APIError)(nil); errors.As(err, &exists) && exists.ErrCode == nameInUse {
		return nil // by another leader, a moment ago
	}
	if errors.Is(err, jsapi.ErrOverlap) {
		return fmt.Errorf("%w: another stream at %s holds the subject %s", err, a.Primary.Name, a.subject())
	}
	return err
}

// nameInUse is the server's code for a stream that exists with another config.
const nameInUse = 10058

// record writes the account into the archive's metadata, where people find it. It is made of what both streams hold, so
// it does not matter which leader writes it.
func (a *archiver) record(ctx context.Context, account Account) error {
	text, err := json.Marshal(account)
	if err != nil {
		return err
	}
	return a.archive.setMeta(ctx, metaAccount, string(text))
}

// setMeta sets one key of the stream's metadata.
func (s Side) setMeta(ctx context.Context, key, value string) error {
	info, err := s.info(ctx)
	if err != nil {
		return err
	}
	var config map[string]json.RawMessage // as the server printed it: fields that we do not know stay
	if err := json.Unmarshal(info.Config, &config); err != nil {
		return fmt.Errorf("unreadable config of %s: %w", s, err)
	}
	var metadata map[string]string
	if err := json.Unmarshal(config["metadata"], &metadata); err != nil {
		return fmt.Errorf("unreadable metadata of %s: %w", s, err)
	}
	if metadata[key] == value {
		return nil
	}
	metadata[key] = value
	for k := range metadata {
		if strings.HasPrefix(k, "_nats.") { // the server's own
			delete(metadata, k)
		}
	}
	if config["metadata"], err = json.Marshal(metadata); err != nil {
		return err
	}
	return s.ask(ctx, "STREAM.UPDATE."+s.Stream, config, &struct{}{})
}
