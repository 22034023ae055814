package config_test

import (
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/config"
)

// share says whether a key has to be the same on every watchdog.
type share string

const (
	local  share = "local"  // changes the hash never
	shared share = "shared" // changes it always
	fixed  share = "fixed"  // has one value only
)

// keys classifies every key of the config, with another valid value for that of testdata/good/full.yaml.
var keys = []struct {
	path  string
	value any
	share share
}{
	{"node", "wd-west", local},
	{"data_dir", "/elsewhere", local},
	{"mode", "unattended", shared},
	{"peers.wd-east.addr", "10.0.0.1:7422", local},
	{"peers.wd-east.site", "eu", shared},
	{"bind", "10.0.0.1:7422", local},
	{"tls.cert", "other.crt", local},
	{"tls.key", "other.key", local},
	{"tls.ca", "other-ca.crt", local},
	{"http.listen", "127.0.0.1:1", local},
	{"admin.listen", "unix:/other.sock", local},
	{"probe.every", "1s", shared},
	{"probe.timeout", "300ms", local},
	{"outage.after", "100s", shared},
	{"outage.agree", nil, fixed},
	{"loss.max_messages", 1, shared},
	{"loss.unknown", "hold", shared},
	{"cooldown", "2h", shared},
	{"brake.max", 3, shared},
	{"brake.per", "2h", shared},
	{"release", "fence", shared},
	{"priority", 5, shared},
	{"fence.after", "50s", shared},
	{"dedup.mode", "seed", shared},
	{"dedup.max_ids", 11, shared},
	{"dedup.switchover_ids", 3, shared},
	{"consumers.every", "11s", shared},
	{"salvage", "archive", shared},
	{"rejoin", "manual", shared},
	{"repoint", "report", shared},
	{"raft.heartbeat", "900ms", local},
	{"raft.election", "2s", local},
	{"raft.lease", "400ms", local},
	{"log.format", "text", local},
	{"log.level", "error", local},
	{"sites.east.servers", []string{"nats://other.example.net"}, local},
	{"sites.east.creds", "other.creds", local},
	{"sites.us.nkey", "other.nk", local},
	{"sites.west.user", "other", local},
	{"sites.west.password_file", "other", local},
	{"sites.eu.tls.cert", "other", local},
	{"sites.eu.tls.key", "other", local},
	{"sites.eu.tls.ca", "other", local},
	{"sites.east.domain", "other", shared},
	{"streams[0].name", "OTHER", shared},
	{"streams[0].account", "OTHER", shared},
	{"streams[0].origin.site", "us", shared},
	{"streams[0].origin.stream", "OTHER", shared},
	{"streams[0].mirrors[0].site", "us", shared},
	{"streams[0].mirrors[0].stream", "OTHER", shared},
	{"streams[0].mirrors[0].priority", 11, shared},
	{"streams[0].mirrors[1].promote", "", shared},
	{"streams[0].mode", "manual", shared},
	{"streams[0].probe.every", "3s", shared},
	{"streams[0].outage.after", "31s", shared},
	{"streams[0].outage.agree", nil, fixed},
	{"streams[0].loss.max_messages", 8, shared},
	{"streams[0].loss.unknown", "allow", shared},
	{"streams[0].cooldown", "6m", shared},
	{"streams[0].release", "delete", shared},
	{"streams[0].priority", 99, shared},
	{"streams[0].fence.after", "20s", shared},
	{"streams[0].dedup.mode", "none", shared},
	{"streams[0].dedup.max_ids", 51, shared},
	{"streams[0].dedup.switchover_ids", 1, shared},
	{"streams[0].consumers.every", "3s", shared},
	{"streams[0].salvage", "replay", shared},
	{"streams[0].rejoin", "auto", shared},
	{"streams[0].repoint", "auto", shared},
}

// TestRulesHash changes one key after the other and looks whether the hash changes.
func TestRulesHash(t *testing.T) {
	before := parseTree(t, fullTree(t)).Rules()
	for _, k := range keys {
		if k.share == fixed {
			continue
		}
		t.Run(k.path, func(t *testing.T) {
			tree := fullTree(t)
			set(t, tree, k.path, k.value)
			c := parseTree(t, tree)
			if reflect.DeepEqual(c, parseTree(t, fullTree(t))) {
				t.Fatal("the value of the table is the one in the file")
			}
			if changed := c.Rules().Hash() != before.Hash(); changed != (k.share == shared) {
				t.Errorf("hash changed: got %v, want a %s key", changed, k.share)
			}
		})
	}
}

// TestKeysClassified finds a key that was added to the config but not to the table.
func TestKeysClassified(t *testing.T) {
	known := map[string]bool{}
	for _, k := range keys {
		known[pattern(k.path)] = true
	}
	var all []string
	leaves(reflect.TypeFor[config.Config](), "", &all)
	for _, path := range all {
		if !known[path] {
			t.Errorf("%s is not classified: add it to keys, and to Rules if decisions depend on it", path)
		}
		delete(known, path)
	}
	for path := range known {
		t.Errorf("%s is classified, but is no key", path)
	}
}

func TestRulesIgnoreOrder(t *testing.T) {
	tree := fullTree(t)
	streams := tree["streams"].([]any)
	streams[0], streams[1] = streams[1], streams[0]
	mirrors := streams[1].(map[string]any)["mirrors"].([]any)
	mirrors[0], mirrors[1] = mirrors[1], mirrors[0]
	if got, want := parseTree(t, tree).Rules().Hash(), parseTree(t, fullTree(t)).Rules().Hash(); got != want {
		t.Errorf("hash after a change of order: got %s, want %s", got, want)
	}
}

func TestRules(t *testing.T) {
	r := parseTree(t, fullTree(t)).Rules()
	want := policy.StreamRules{
		Name:    "EVENTS",
		Account: "BILLING",
		Origin:  policy.MemberID{Site: "east", Stream: "EVENTS"},
		Mirrors: []policy.MirrorRule{
			{MemberID: policy.MemberID{Site: "eu", Stream: "EVENTS_EU"}, PromoteNever: true},
			{MemberID: policy.MemberID{Site: "west", Stream: "EVENTS_W"}, Priority: 10},
		},
		Domains:   map[string]string{"east": "east"},
		Mode:      policy.ModeUnattended,
		Interval:  2 * time.Second,
		Threshold: 30 * time.Second,
		MaxLoss:   7,
		Cooldown:  5 * time.Minute,
		Release:   policy.ReleaseFence,
		Priority:  100,

		Dedup:          policy.DedupRules{Mode: policy.DedupSeed, MaxIDs: 50, SwitchoverIDs: 0},
		ConsumersEvery: 2 * time.Second,
		Salvage:        policy.SalvageArchive,
		Rejoin:         policy.RejoinManual,
		Repoint:        policy.RepointReport,
	}
	if got := r.Streams["EVENTS"]; !reflect.DeepEqual(got, want) {
		t.Errorf("rules of EVENTS: got\n%+v\nwant\n%+v", got, want)
	}
	inherited := r.Streams["ORDERS"]
	if inherited.Mode != policy.ModeManual || inherited.Interval != 500*time.Millisecond || !inherited.AllowUnknownLoss ||
		inherited.Release != policy.ReleaseDelete || inherited.Threshold != 90*time.Second || inherited.Priority != -5 {
		t.Errorf("ORDERS does not take over the config's own settings: %+v", inherited)
	}
	if inherited.FenceAfter != 40*time.Second || inherited.Dedup != (policy.DedupRules{Mode: policy.DedupNone, MaxIDs: 10, SwitchoverIDs: 2}) ||
		inherited.ConsumersEvery != 10*time.Second || inherited.Salvage != policy.SalvageReplay ||
		inherited.Rejoin != policy.RejoinAuto || inherited.Repoint != policy.RepointAuto {
		t.Errorf("ORDERS does not take over what follows a failover: %+v", inherited)
	}
	if got, want := r.Watchdogs["wd-eu"], "eu"; got != want {
		t.Errorf("site of wd-eu: got %s, want %s", got, want)
	}
}

// leaves lists the keys of a type that hold a value, in the notation of pattern.
func leaves(t reflect.Type, path string, out *[]string) {
	switch t.Kind() {
	case reflect.Pointer:
		leaves(t.Elem(), path, out)
	case reflect.Map:
		leaves(t.Elem(), path+".*", out)
	case reflect.Slice:
		if t.Elem().Kind() == reflect.String {
			*out = append(*out, path)
			return
		}
		leaves(t.Elem(), path+"[*]", out)
	case reflect.Struct:
		for i := range t.NumField() {
			if key, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ","); key != "" {
				leaves(t.Field(i).Type, strings.TrimPrefix(path+"."+key, "."), out)
			}
		}
	default:
		*out = append(*out, path)
	}
}

var (
	index   = regexp.MustCompile(`\[\d+\]`)
	nameKey = regexp.MustCompile(`^(peers|sites)\.[^.]+`)
)

func pattern(path string) string {
	return nameKey.ReplaceAllString(index.ReplaceAllString(path, "[*]"), "$1.*")
}

// fullTree reads testdata/good/full.yaml as plain maps and lists.
func fullTree(t *testing.T) map[string]any {
	t.Helper()
	data, err := os.ReadFile("testdata/good/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	tree := map[string]any{}
	if err := yaml.Unmarshal(data, &tree); err != nil {
		t.Fatal(err)
	}
	return tree
}

func parseTree(t *testing.T, tree map[string]any) *config.Config {
	t.Helper()
	data, err := yaml.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse(data, "/etc/understudy")
	if err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	return c
}

// set changes one value of a tree.
func set(t *testing.T, tree map[string]any, path string, value any) {
	t.Helper()
	var at any = tree
	parts := strings.Split(strings.ReplaceAll(strings.ReplaceAll(path, "[", "."), "]", ""), ".")
	for _, part := range parts[:len(parts)-1] {
		switch x := at.(type) {
		case map[string]any:
			at = x[part]
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil {
				t.Fatal(err)
			}
			at = x[i]
		}
	}
	m, ok := at.(map[string]any)
	if !ok {
		t.Fatalf("%s is not in the file", path)
	}
	m[parts[len(parts)-1]] = value
}
