package watchdog_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/grouplab"
)

// TestOverrides is what an operator does with signals, to a healthy group and around a failover.
func TestOverrides(t *testing.T) {
	t.Parallel()
	w := start(t, setup{streams: []stream{{name: "ORDERS", onlyWest: true}}})
	o := overrides{w: w}
	t.Run("early-signals", o.early)
	t.Run("none-down", o.noneDown)
	t.Run("hold", o.hold)
	t.Run("hold-doubled", o.doubled)
	t.Run("hold-survives-restarts", o.survives)
	t.Run("terminate", o.terminate)
	t.Run("reload-refused", o.badConfig)
	t.Run("config-mismatch", o.mismatch)
	t.Run("hold-before-promote", o.holdBeforePromote)
	t.Run("reload-keeps-primary", o.keepsPrimary)
	t.Run("held-return", o.heldReturn)
}

type overrides struct{ w *world }

// early sends signals at the first sign of a new process.
func (o overrides) early(t *testing.T) {
	for _, sigs := range [][]syscall.Signal{{syscall.SIGHUP, syscall.SIGUSR1}, {syscall.SIGTERM}} {
		d := o.w.follower(t)
		o.w.terminate(t, d, syscall.SIGTERM)
		n := len(o.w.log(t, d))
		if err := d.Start(); err != nil {
			t.Fatal(err)
		}
		o.w.awaitLine(t, soon, d, n, "") // its first line, whatever that is
		for _, sig := range sigs {
			o.w.signal(t, d, sig)
		}
		if sigs[0] == syscall.SIGTERM {
			o.w.awaitExit(t, d)
			o.w.restart(t, d)
			continue
		}
		o.w.awaitLine(t, soon, d, n, "signal done", "HUP")
		o.w.awaitLine(t, soon, d, n, "signal did nothing", "USR1")
	}
}

// terminate asks a watchdog to stop, and wants it to do so in good order.
func (w *world) terminate(t *testing.T, d *grouplab.Dog, sig syscall.Signal) {
	t.Helper()
	w.signal(t, d, sig)
	w.awaitExit(t, d)
}

func (w *world) awaitExit(t *testing.T, d *grouplab.Dog) {
	t.Helper()
	select {
	case <-d.Done():
	case <-time.After(soon):
		t.Fatalf("%s does not end", d.Name)
	}
	if code := d.ExitCode(); code != 0 {
		t.Errorf("%s ended with code %d, want 0", d.Name, code)
	}
}

func (o overrides) noneDown(t *testing.T) {
	d := o.w.follower(t)
	n, began := len(o.w.log(t, d)), time.Now()
	o.w.signal(t, d, syscall.SIGUSR1)
	o.w.awaitLine(t, soon, d, n, "level=ERROR", "signal did nothing", "USR1", "reason=healthy")
	t.Logf("said after %s", time.Since(began).Round(time.Millisecond))
	if st, err := o.w.status("ORDERS"); err != nil || st.Epoch != 0 {
		t.Errorf("epoch %d, %v, want 0", st.Epoch, err)
	}
}

// terminate ends one leader after the other, and measures how long the group is without one.
func (o overrides) terminate(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		old := o.w.leader(t)
		began := time.Now()
		o.w.signal(t, old, sig)
		o.w.await(t, soon, func() error {
			if next := o.w.leader(t); next == old {
				return fmt.Errorf("%s still leads", old.Name)
			}
			return nil
		})
		took := time.Since(began)
		t.Logf("another leads %s after the %s of the leader", took.Round(time.Millisecond), sig)
		if took > 5*time.Second {
			t.Errorf("leadership was not handed over: %s", took)
		}
		o.w.awaitExit(t, old)
		if log := o.w.log(t, old); !strings.Contains(log, "leadership transfer") {
			t.Errorf("%s left without a transfer", old.Name)
		}
		o.w.restart(t, old)
	}
}

// edit changes a watchdog's config file and has it read.
func (o overrides) edit(t *testing.T, d *grouplab.Dog, old, with string, words ...string) string {
	t.Helper()
	b, err := os.ReadFile(d.ConfigFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(b, []byte(old)) {
		t.Fatalf("no %q in %s", old, b)
	}
	if err := os.WriteFile(d.ConfigFile, bytes.Replace(b, []byte(old), []byte(with), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	n := len(o.w.log(t, d))
	o.w.signal(t, d, syscall.SIGHUP)
	return o.w.awaitLine(t, soon, d, n, words...)
}

func (o overrides) hash(t *testing.T, d *grouplab.Dog) string {
	t.Helper()
	hash := ""
	o.w.await(t, soon, func() error {
		st, err := o.w.g.Status(o.w.ctx)
		for _, p := range st.Peers {
			if p.Node == d.Name {
				hash = p.ConfigHash
			}
		}
		if err == nil && hash == "" {
			err = fmt.Errorf("nobody knows the config of %s", d.Name)
		}
		return err
	})
	return hash
}

func (o overrides) badConfig(t *testing.T) {
	d := o.w.follower(t)
	before := o.hash(t, d)
	line := o.edit(t, d, "outage: {after: 5s}", "outage: {afer: 5s}", "level=ERROR", "config refused", "after")
	if !strings.Contains(line, d.ConfigFile+":") || !strings.Contains(line, ":10:") {
		t.Errorf("the refusal names no file, line and column: %s", line)
	}
	o.edit(t, d, "outage: {afer: 5s}", "outage: {after: 5s}", "config reloaded")
	if after := o.hash(t, d); after != before {
		t.Errorf("hash %s, before %s", after, before)
	}
}

// mismatch gives one watchdog another config, loses the site, and wants nothing to happen until all agree.
func (o overrides) mismatch(t *testing.T) {
	w := o.w
	changed := o.w.follower(t)
	before := o.hash(t, changed)
	o.edit(t, changed, "outage: {after: 5s}", "outage: {after: 6s}", "config reloaded")
	w.await(t, soon, func() error {
		if after := o.hash(t, changed); after == before {
			return fmt.Errorf("the hash is still %s", after)
		}
		return nil
	})
	o.block(t)
	events := w.subscribe(t, "eu")
	if err := w.lab.Site("east").Kill(); err != nil {
		t.Fatal(err)
	}
	w.awaitState(t, outage, "ORDERS", api.StateDown, policy.ConfigMismatch)
	if e := events.await(t, "failover_blocked", "ORDERS"); e.Reason.Code != policy.ConfigMismatch {
		t.Errorf("failover_blocked with %s, want config_mismatch", e.Reason)
	}
	w.awaitLine(t, soon, w.leader(t), 0, "level=WARN", "failover blocked", "reason=config_mismatch")
	w.throughout(t, awhile, func() error { return w.isMirror("west", "ORDERS_WEST") })
	if st, err := w.status("ORDERS"); err != nil || st.Epoch != 0 {
		t.Errorf("epoch %d, %v, want 0", st.Epoch, err)
	}
	for _, d := range w.g.Dogs {
		if d != changed {
			o.edit(t, d, "outage: {after: 5s}", "outage: {after: 6s}", "config reloaded")
		}
	}
	w.awaitStatus(t, outage, "ORDERS", func(st api.StreamStatus) bool { return st.Epoch == 1 })
	events.unique(t)
}

func (o overrides) keepsPrimary(t *testing.T) {
	const mirror = "- {site: west, stream: ORDERS_WEST}"
	d := o.w.leader(t)
	before := o.hash(t, d)
	line := o.edit(t, d, mirror, "", "level=ERROR", "config refused", "west/ORDERS_WEST is the primary since failover 1")
	if !strings.Contains(line, d.ConfigFile+":") {
		t.Errorf("the refusal names no place in the file: %s", line)
	}
	if after := o.hash(t, d); after != before {
		t.Errorf("hash %s, before %s", after, before)
	}
}
