package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/understudy-ha/understudy/watchdog/jsapi"
	"github.com/understudy-ha/understudy/watchdog/salvage"
)

// left is a server with what failover 2 left behind: EVENTS_W is the primary, EVENTS is parked and sealed. Of its tail of
// 4 messages, the primary has one.
type left struct {
	t      *testing.T
	srv    *server.Server
	js     jetstream.JetStream
	store  string
	config string
}

func leaveBehind(t *testing.T) *left {
	t.Helper()
	dir := t.TempDir()
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: filepath.Join(dir, "store"), NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("not ready")
	}
	nc, err := nats.Connect(srv.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	l := &left{t: t, srv: srv, js: js, store: filepath.Join(dir, "store"), config: filepath.Join(dir, "understudy.yaml")}
	url := srv.ClientURL()
	l.must(os.WriteFile(l.config, fmt.Appendf(nil, `node: wd
data_dir: %s
peers: {wd: {addr: "127.0.0.1:7422", site: west}}
admin: {listen: "unix:%s"}
sites:
  east: {servers: [%q]}
  west: {servers: [%q]}
streams:
  - {name: EVENTS, origin: {site: east, stream: EVENTS}, mirrors: [{site: west, stream: EVENTS_W}]}
`, dir, filepath.Join(dir, "none.sock"), url, url), 0o600))
	l.failOver(t.Context())
	return l
}

func (l *left) failOver(ctx context.Context) {
	l.t.Helper()
	old := jetstream.StreamConfig{Name: "EVENTS", Subjects: []string{"e.>"}}
	primary := jetstream.StreamConfig{Name: "EVENTS_W", Subjects: []string{"$devnull.west.EVENTS_W"}}
	for _, c := range []jetstream.StreamConfig{old, primary} {
		_, err := l.js.CreateStream(ctx, c)
		l.must(err)
	}
	for i := range 4 {
		l.publish(ctx, fmt.Sprintf("e.%d", i), i)
	}
	old.Subjects = []string{"$devnull.east.EVENTS"}
	_, err := l.js.UpdateStream(ctx, old)
	l.must(err)
	old.Sealed = true
	_, err = l.js.UpdateStream(ctx, old)
	l.must(err)
	primary.Subjects = []string{"e.>"}
	_, err = l.js.UpdateStream(ctx, primary)
	l.must(err)
	l.publish(ctx, "e.2", 2)
}

func (l *left) publish(ctx context.Context, subject string, n int) {
	l.t.Helper()
	_, err := l.js.Publish(ctx, subject, fmt.Appendf(nil, "message %d", n), jetstream.WithMsgID(fmt.Sprint(n)))
	l.must(err)
}

func (l *left) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// archive does what the watchdogs do.
func (l *left) archive(epoch uint64) {
	l.t.Helper()
	nc, err := jsapi.DialBulk(l.t.Context(), jsapi.Login{Servers: []string{l.srv.ClientURL()}})
	l.must(err)
	defer nc.Close()
	at := func(site, stream string) salvage.Side {
		return salvage.Side{Site: salvage.Site{Name: site, Conn: nc}, Stream: stream}
	}
	_, err = salvage.Archive(l.t.Context(), salvage.Job{Name: "EVENTS", Epoch: epoch, Old: at("east", "EVENTS"), Primary: at("west", "EVENTS_W")})
	l.must(err)
}

// run is one command line; it checks the exit code.
func (l *left) run(code int, line string) (stdout, stderr string) {
	l.t.Helper()
	var out, errs bytes.Buffer
	args := append(strings.Fields(line), "--config", l.config)
	if got := execute(newApp(strings.NewReader(""), &out, &errs), args); got != code {
		l.t.Errorf("%s: exit code %d, want %d: %s%s", line, got, code, out.String(), errs.String())
	}
	return out.String(), errs.String()
}

// says checks a command's output and error against patterns.
func (l *left) says(code int, line, stdout, stderr string) {
	l.t.Helper()
	out, errs := l.run(code, line)
	if !regexp.MustCompile("(?s)" + stdout).MatchString(out) {
		l.t.Errorf("%s prints %q, want %q", line, out, stdout)
	}
	if !regexp.MustCompile("(?s)" + stderr).MatchString(errs) {
		l.t.Errorf("%s complains %q, want %q", line, errs, stderr)
	}
	for l2 := range strings.Lines(out) {
		if len([]rune(l2)) > pageWidth+1 && !strings.HasPrefix(l2, "{") {
			l.t.Errorf("%s: a line of %d characters: %s", line, len([]rune(l2)), l2)
		}
	}
}

// TestSalvageCommands goes through an archive's life with no watchdog anywhere.
func TestSalvageCommands(t *testing.T) {
	l := leaveBehind(t)
	l.says(0, "salvage list", `^There is no archive\.`, `^$`)
	l.says(0, "salvage list --json", `^\[\]`, `^$`)
	l.archive(2)
	l.says(0, "salvage list", `EVENTS +│ +2 │ east/EVENTS +│ west +│ +4 │ +1 │.*verified`, `^$`)
	l.says(0, "salvage list --json", `"name": "EVENTS".*"messages": 4,.*"on_primary": 1`, `^$`)
	l.says(0, "salvage show EVENTS", `UNDERSTUDY_SALVAGE_EVENTS_2 at west.*verified: 4 messages, of which the primary has 1.*e\.3 .*message 3`, `^$`)
	l.says(0, "salvage show EVENTS -n 1", `message 0.*There are more`, `^$`)
	l.says(0, "salvage show EVENTS --json --subject e.2", `"seq": 3.*"on_primary": 1.*"more": false`, `^$`)
	l.says(0, "salvage export EVENTS", `^{"seq":1,"subject":"e\.0","time":"20[^"]*Z","headers":{"Nats-Msg-Id":\["0"\]},"data":"message 0"}`, `4 messages`)
	l.says(2, "salvage drop EVENTS -y", `^$`, `refused: .*3 not replayed.*replay them first, or give --force`)
	l.says(0, "salvage replay EVENTS --dry-run", `3  would be replayed.*1  on the primary by`, `no watchdog answers`)
	l.says(0, "salvage replay EVENTS --subject e.0", `1  replayed.*2  left out: another subject`, `replay: 4 of 4`)
	l.says(0, "salvage replay EVENTS --json", `"replayed": 2,.*"already": 1`, ``)
	l.says(64, "salvage drop EVENTS", `^$`, `give --yes`)
	l.says(0, "salvage drop EVENTS -y", `is deleted`, `This deletes UNDERSTUDY_SALVAGE_EVENTS_2`)
}

func TestSalvageBadInput(t *testing.T) {
	l := leaveBehind(t)
	l.archive(2)
	l.archive(5)
	l.says(64, "salvage show", ``, "name the STREAM")
	l.says(64, "salvage show OTHER", ``, "there is no archive of \"OTHER\"")
	l.says(64, "salvage show EVENTS", ``, "which archive of EVENTS\\? There are: --epoch 2; --epoch 5")
	l.says(64, "salvage show EVENTS --epoch 3", ``, "which archive of EVENTS\\?")
	l.says(64, "salvage show EVENTS --epoch 2 --of eu", ``, "which archive of EVENTS\\?")
	l.says(64, "salvage show EVENTS --epoch 2 --subject a..b", ``, "subject filter")
	l.says(64, "salvage show EVENTS -n -1", ``, "--limit is negative")
	l.says(64, "salvage replay EVENTS --epoch 2 --rate -1", ``, "--rate is negative")
	l.says(64, "salvage replay EVENTS --epoch 2 --primary mars", ``, `--primary "mars"`)
	l.says(64, "salvage dance", ``, `unknown command "dance"`)
	l.says(64, "salvage --from-store x", ``, "name the STREAM")
	l.says(64, "salvage EVENTS --from-store x", ``, "give --epoch and --origin")
	l.says(64, "salvage EVENTS --from-store x --epoch 1 --origin mars", ``, `--origin "mars"`)
	l.says(64, "salvage EVENTS --from-store x --epoch 1 --origin west", ``, "west/EVENTS_W is the primary now")
	l.says(1, "salvage EVENTS --from-store /nonexistent --epoch 1 --origin east", ``, "give a copy of a nats-server's store_dir")
	l.says(0, "salvage export EVENTS --epoch 2 -o "+filepath.Join(t.TempDir(), "x"), `^$`, "4 messages")
	l.says(1, "salvage export EVENTS --epoch 2 -o "+l.config, `^$`, "exists")
	l.srv.Shutdown()
	l.says(75, "salvage list", ``, "site east cannot be reached")
}

// TestSalvageFromStore makes the archive from a copy of the store.
func TestSalvageFromStore(t *testing.T) {
	l := leaveBehind(t)
	dir := filepath.Join(t.TempDir(), "copies", "east-1")
	l.must(os.CopyFS(dir, os.DirFS(l.store)))
	out, _ := l.run(0, "salvage EVENTS --epoch 2 --origin east --json --from-store "+filepath.Dir(dir))
	var got salvage.Account
	if err := json.Unmarshal([]byte(out), &got); err != nil || got.Messages != 4 || got.OnPrimary != 1 {
		t.Errorf("%s: %v", out, err)
	}
	l.says(0, "salvage EVENTS --epoch 2 --origin east --from-store "+dir, `holds 4 messages of east/EVENTS, sequences 1 to 4, verified; the\sprimary\shas\s1`, `verify: 4 of 4`)
}
