package config_test

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/config"
)

// fragments are what the mutations of TestParseAnything insert.
var fragments = []string{
	"", " ", "\n", "\n  ", "\t", "\r", ":", ": ", "- ", "-", "{", "}", "[", "]", ",", "\"", "'", "|", ">", "&a ", "*a",
	"<<: ", "!!str ", "? ", "#", "---\n", "...\n", "%YAML 1.2\n", "~", "null", "true", ".inf", "0x1F", "1e3", "10_000",
	"-1", "18446744073709551616", "2m", "2026-01-01", "\x00", "\xff", "\ufeff", "ä", "streams", "sites: ", "mode: ",
	"node: x\n", "tls: {}\n", "{a: {b: [", "\\", "@", "`", "=",
}

// TestParseAnything damages a good config at random: Parse has to answer with a config or with placed problems.
func TestParseAnything(t *testing.T) {
	full, err := os.ReadFile("testdata/good/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		text := string(full)
		for range rapid.IntRange(1, 6).Draw(t, "edits") {
			from := rapid.IntRange(0, len(text)).Draw(t, "from")
			to := min(len(text), from+rapid.IntRange(0, 12).Draw(t, "cut"))
			text = text[:from] + rapid.SampledFrom(fragments).Draw(t, "insert") + text[to:]
		}
		checkParse(t, text)
	})
}

func TestParseGarbage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		checkParse(t, strings.Join(rapid.SliceOfN(rapid.SampledFrom(fragments), 0, 40).Draw(t, "words"), ""))
	})
}

func checkParse(t *rapid.T, text string) {
	c, err := config.Parse([]byte(text), "/etc/understudy")
	var problems config.Errors
	switch {
	case err == nil && c.Validate() != nil:
		t.Fatalf("parsed, but not valid: %v\n%s", c.Validate(), text)
	case err == nil:
		return
	case !errors.As(err, &problems) || len(problems) == 0:
		t.Fatalf("got %T, want Errors\n%s", err, text)
	}
	for _, p := range problems {
		if p.Line < 1 || p.Column < 1 {
			t.Fatalf("a problem without a place: %v\n%s", p, text)
		}
	}
}

// TestRoundTrip shows random configs and reads them back: names that look like numbers, booleans or null stay names.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawConfig(t)
		if err := c.Validate(); err != nil {
			t.Fatalf("the generator made a bad config: %v", err)
		}
		var text strings.Builder
		if err := c.Show(&text); err != nil {
			t.Fatal(err)
		}
		again, err := config.Parse([]byte(text.String()), "/elsewhere")
		if err != nil {
			t.Fatalf("what Show wrote is refused: %v\n%s", err, text.String())
		}
		if got, want := again.Rules().Hash(), c.Rules().Hash(); got != want {
			t.Fatalf("hash: got %s, want %s\n%s", got, want, text.String())
		}
		var second strings.Builder
		if err := again.Show(&second); err != nil {
			t.Fatal(err)
		}
		if second.String() != text.String() {
			t.Fatalf("shown again: got\n%s\nwant\n%s", second.String(), text.String())
		}
	})
}

// drawConfig makes a valid config.
func drawConfig(t *rapid.T) *config.Config {
	name := rapid.OneOf(rapid.StringMatching(`[A-Za-z0-9_-]{1,6}`), rapid.SampledFrom(
		[]string{"null", "true", "no", "1", "007", "0x1F", "1e3", "1_000", "-", "--", "---", "-1", "0b1"}))
	odd := rapid.OneOf(name, rapid.SampledFrom(
		[]string{"ä", "{", "#", "'", "\"", "&a", "!!str", "%", "@", "|", "a:", "?"}))
	names := func(n int, label string) []string {
		return rapid.SliceOfNDistinct(name, n, n, rapid.ID[string]).Draw(t, label)
	}
	span := func(least time.Duration, label string) time.Duration {
		return least + time.Duration(rapid.Int64Range(0, int64(100*time.Second)).Draw(t, label))
	}
	c := config.Defaults()
	c.Peers, c.Sites = map[string]config.Peer{}, map[string]config.Site{}
	sites := names(3, "sites")
	for i, s := range sites {
		c.Sites[s] = config.Site{
			Servers: []string{fmt.Sprintf("nats://127.0.0.1:%d", 4222+i)},
			Domain:  fmt.Sprintf("%s%d", odd.Draw(t, "domain"), i),
		}
	}
	for i, p := range names(rapid.SampledFrom([]int{1, 3, 5}).Draw(t, "peers"), "peer names") {
		c.Peers[p] = config.Peer{Addr: fmt.Sprintf("127.0.0.1:%d", 7001+i), Site: sites[i%3]}
		c.Node = p
	}
	c.Probe.Every = span(100*time.Millisecond, "every")
	c.Probe.Timeout = c.Probe.Every / 2
	for i, s := range names(rapid.IntRange(1, 3).Draw(t, "streams"), "stream names") {
		every := span(c.Probe.Timeout+100*time.Millisecond, "stream every")
		c.Streams = append(c.Streams, config.Stream{
			Name:   s,
			Origin: config.Member{Site: sites[0], Stream: fmt.Sprintf("%s%d", name.Draw(t, "origin"), i)},
			Mirrors: []config.Mirror{
				{
					Site: sites[1], Stream: odd.Draw(t, "mirror") + strconv.Itoa(i),
					Priority: rapid.IntRange(-9, 9).Draw(t, "mirror priority"),
				},
				{Site: sites[2], Stream: fmt.Sprintf("#%d{", i), Promote: config.PromoteNever},
			},
			Mode:     rapid.SampledFrom([]policy.Mode{"alert-only", "manual", "unattended"}).Draw(t, "mode"),
			Probe:    config.StreamProbe{Every: every},
			Outage:   config.Outage{After: 5*time.Second + 2*every, Agree: config.AgreeMajority},
			Loss:     config.Loss{MaxMessages: rapid.Uint64Range(0, 1<<62).Draw(t, "loss"), Unknown: config.LossAllow},
			Cooldown: span(0, "cooldown"),
			Release:  policy.ReleaseDelete,
			Priority: rapid.IntRange(-100, 100).Draw(t, "priority"),
			Fence:    config.Fence{After: rapid.SampledFrom([]config.DurationOrOff{0, config.DurationOrOff(time.Second)}).Draw(t, "fence")},
			Dedup: config.Dedup{Mode: rapid.SampledFrom([]policy.DedupMode{"seed", "none"}).Draw(t, "dedup"),
				MaxIDs: rapid.IntRange(1, 1000).Draw(t, "ids"), SwitchoverIDs: rapid.IntRange(0, 9).Draw(t, "switchover ids")},
			Consumers: config.Consumers{Every: span(time.Second, "consumers")},
			Salvage:   rapid.SampledFrom([]policy.Salvage{"archive", "replay"}).Draw(t, "salvage"),
			Rejoin:    rapid.SampledFrom([]policy.Rejoin{"manual", "auto"}).Draw(t, "rejoin"),
			Repoint:   rapid.SampledFrom([]policy.Repoint{"report", "auto"}).Draw(t, "repoint"),
		})
	}
	return &c
}
