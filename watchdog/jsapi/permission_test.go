package jsapi_test

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

// limited makes a server with an unlimited user "app" and a user "few" with these permissions.
func limited(p *server.Permissions) func(*server.Options) {
	return func(o *server.Options) {
		o.Users = []*server.User{{Username: "app", Password: "x"}, {Username: "few", Password: "x", Permissions: p}}
	}
}

func as(t *testing.T, s *server.Server, user string) *jsapi.Conn {
	t.Helper()
	c := dial(t, jsapi.Login{Servers: []string{s.ClientURL()}, User: user, Password: "x"})
	eventually(t, "connected", c.Connected)
	return c
}

func TestMissingPermissionIsToldAtOnce(t *testing.T) {
	// With a domain, the server names another subject in its error than the one that was asked.
	for _, domain := range []string{"", "east"} {
		t.Run("domain "+domain, func(t *testing.T) { testMissingPermission(t, domain) })
	}
}

func testMissingPermission(t *testing.T, domain string) {
	s := embedded(t, func(o *server.Options) {
		o.JetStreamDomain = domain
		limited(&server.Permissions{
			Publish: &server.SubjectPermission{Allow: []string{"$JS.API.INFO", "$JS.API.STREAM.INFO.MINE"}},
		})(o)
	})
	create(t, as(t, s, "app"), "MINE", `{"name":"MINE"}`)
	c := dial(t, jsapi.Login{Servers: []string{s.ClientURL()}, User: "few", Password: "x", Domain: domain})
	eventually(t, "connected", c.Connected)
	var wg sync.WaitGroup
	for range 20 { // one violation must not end what may be asked
		wg.Go(func() {
			if _, err := c.Info(within(t, 5*time.Second), "MINE"); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() { atOnce(t, c, jsapi.ErrPermission) })
	}
	wg.Wait()
	if err := c.Ready(within(t, 5*time.Second), "orders"); !errors.Is(err, jsapi.ErrPermission) {
		t.Errorf("Ready: got %v", err)
	}
	if err := c.Delete(within(t, 5*time.Second), "MINE"); !errors.Is(err, jsapi.ErrPermission) {
		t.Errorf("Delete: got %v", err)
	}
}

// A request whose answer cannot be received is carried out all the same: it must not be sent at all, since ErrPermission
// promises that nothing happened.
func TestNothingIsSentWithoutAnInbox(t *testing.T) {
	s := embedded(t, limited(&server.Permissions{
		Subscribe: &server.SubjectPermission{Deny: []string{"_INBOX.>"}},
	}))
	app := as(t, s, "app")
	create(t, app, "ORDERS", `{"name":"ORDERS"}`)
	c := as(t, s, "few")
	err := c.Delete(within(t, 5*time.Second), "ORDERS")
	if !errors.Is(err, jsapi.ErrPermission) || !errors.Is(err, jsapi.ErrNoReplies) {
		t.Errorf("Delete: got %v", err)
	}
	if _, err := app.Info(within(t, 5*time.Second), "ORDERS"); err != nil {
		t.Errorf("the delete was carried out: %v", err)
	}
}

// An inbox lost while a request is under way tells nothing about the request.
func TestInboxLostOnTheWay(t *testing.T) {
	var opts *server.Options
	s := embedded(t, func(o *server.Options) { limited(nil)(o); opts = o })
	c := as(t, s, "few")
	app, err := nats.Connect(s.ClientURL(), nats.UserInfo("app", "x"))
	if err != nil {
		t.Fatal(err)
	}
	defer app.Close()
	asked := make(chan struct{})
	if _, err := app.Subscribe("slow", func(*nats.Msg) { close(asked) }); err != nil {
		t.Fatal(err)
	}
	if err := app.Flush(); err != nil {
		t.Fatal(err)
	}
	result := make(chan error, 1)
	go func() {
		_, err := c.Publish(within(t, 10*time.Second), "slow", "", nil, nil)
		result <- err
	}()
	<-asked
	changed := opts.Clone()
	limited(&server.Permissions{Subscribe: &server.SubjectPermission{Deny: []string{"_INBOX.>"}}})(changed)
	if err := s.ReloadOptions(changed); err != nil {
		t.Fatal(err)
	}
	if err := <-result; errors.Is(err, jsapi.ErrPermission) || err == nil {
		t.Errorf("got %v: must not claim that nothing was sent", err)
	}
}

// Every method is known to read or to write, and those that read publish nothing but questions.
func TestReadersDoNotWrite(t *testing.T) {
	readers := []string{"API", "Close", "Connected", "ConsumerInfo", "ConsumerPage", "Consumers", "Domain", "Done", "Epoch", "HoldsFrom", "Info", "InfoOf", "LastError", "List", "Move", "Names", "Ping"}
	writers := []string{"Barrier", "Client", "Create", "CreateConsumer", "Delete", "DeleteConsumer", "PauseConsumer", "Publish",
		"PublishEvent", "Purge", "Ready", "ResetConsumer", "Update"}
	var methods []string
	for m := range reflect.TypeFor[*jsapi.Conn]().Methods() {
		methods = append(methods, m.Name)
	}
	known := append(slices.Clone(readers), writers...)
	slices.Sort(known)
	if !slices.Equal(methods, known) {
		t.Errorf("methods: got %v, want %v: say whether a new one reads or writes", methods, known)
	}

	s := embedded(t, nil)
	tap, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer tap.Close()
	sub, err := tap.SubscribeSync(">")
	if err != nil {
		t.Fatal(err)
	}
	if err := tap.Flush(); err != nil {
		t.Fatal(err)
	}
	c := connected(t, s.ClientURL())
	ctx := within(t, 5*time.Second)
	_, _ = c.Info(ctx, "NONE")
	_, _ = c.InfoOf(ctx, "NONE", "a")
	_, _ = c.Names(ctx, "a.>")
	_, _, _ = c.API(ctx)
	_, _ = c.ConsumerInfo(ctx, "NONE", "C")
	_, _ = c.ConsumerPage(ctx, "NONE", 0)
	_, _, _ = c.Consumers(ctx, "NONE")
	_ = c.Ping(ctx)
	if err := tap.Publish("end", nil); err != nil {
		t.Fatal(err)
	}
	questions := []string{"$JS.API.STREAM.INFO.NONE", "$JS.API.STREAM.NAMES", "$JS.API.INFO",
		"$JS.API.CONSUMER.INFO.NONE.C", "$JS.API.CONSUMER.LIST.NONE"}
	for {
		m, err := sub.NextMsg(5 * time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if m.Subject == "end" {
			return
		}
		if !slices.Contains(questions, m.Subject) && !strings.HasPrefix(m.Subject, jsapi.DefaultInboxPrefix) &&
			!strings.HasPrefix(m.Subject, "$JS.EVENT.") {
			t.Errorf("a reader published to %s", m.Subject)
		}
	}
}

func TestNamesThatWouldBeAnotherSubject(t *testing.T) {
	c := connected(t, embedded(t, nil).ClientURL())
	create(t, c, "ORDERS", `{"name":"ORDERS"}`)
	for _, name := range []string{"", "*", ">", "A.B", "A B", "A\r\nPUB x 0\r\n", "ORDERS.x"} {
		ctx := within(t, time.Second)
		if _, err := c.Info(ctx, name); err == nil {
			t.Errorf("Info(%q): not refused", name)
		}
		if err := c.Delete(ctx, name); err == nil {
			t.Errorf("Delete(%q): not refused", name)
		}
		if err := c.Purge(ctx, name, "a"); err == nil {
			t.Errorf("Purge(%q): not refused", name)
		}
		if err := c.DeleteConsumer(ctx, "ORDERS", name); err == nil || errors.Is(err, jsapi.ErrConsumerNotFound) {
			t.Errorf("DeleteConsumer(%q): %v", name, err)
		}
	}
	if _, err := c.Info(within(t, time.Second), "ORDERS"); err != nil {
		t.Error(err)
	}
}
