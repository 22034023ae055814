package watchdog

import (
	"context"
	"os"
	"os/signal"
	"os/user"
	"sync"
	"syscall"
	"time"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
)

// CatchSignals catches the signals that a watchdog serves, until release is called: for a program whose first deed it is,
// so that an early signal waits for Run instead of ending the process by its default action.
func CatchSignals() (caught <-chan os.Signal, release func()) {
	ch := make(chan os.Signal, 16)
	signal.Notify(ch, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT)
	return ch, func() { signal.Stop(ch) }
}

// signals are caught before anything else of the service starts, and served once the node runs.
type signals struct {
	s     *service
	ch    <-chan os.Signal
	close func()
}

func (s *service) catchSignals() *signals {
	if caught := s.o.Signals; caught != nil {
		return &signals{s: s, ch: caught, close: func() {}}
	}
	ch, release := CatchSignals()
	return &signals{s: s, ch: ch, close: release}
}

// serve hands each signal to a worker at once: what a signal meant is fixed when it arrives, not when its turn comes.
func (g *signals) serve(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case <-ctx.Done():
			return nil
		case sig := <-g.ch:
			name := signalName(sig)
			g.s.log.Info("signal received", "signal", name)
			r, ok := g.s.signalRequest(name, "SIG"+name+" at "+g.s.o.Config.Node)
			if !ok {
				g.s.stop(errTerminate)
				continue
			}
			wg.Go(func() { g.s.answerSignal(ctx, name, r) })
		}
	}
}

func signalName(sig os.Signal) string {
	switch sig {
	case syscall.SIGUSR1:
		return "USR1"
	case syscall.SIGUSR2:
		return "USR2"
	case syscall.SIGHUP:
		return "HUP"
	}
	return "TERM"
}

// signalRequest is the command that a signal stands for; ok is false for the one that ends the process.
func (s *service) signalRequest(name, by string) (r api.Request, ok bool) {
	switch name {
	case "USR1":
		return api.Request{Verb: "failover", By: by, AllowLoss: true}, true
	case "USR2":
		return toggle(s.replica.State().Hold, by), true
	case "HUP":
		return api.Request{Verb: "reload", By: by}, true
	}
	return api.Request{}, false
}

// toggleSettles is how long after a change of the hold another SIGUSR2 counts as the same one, doubled: two people, or
// one with two windows, who see the same trouble.
const toggleSettles = time.Second

// toggle is what a SIGUSR2 asks for. A doubled one asks for the version before, and is refused. Clocks that differ
// shift or lose that time, and with it only this protection.
func toggle(hold policy.Hold, by string) api.Request {
	if time.Since(hold.At).Abs() < toggleSettles {
		hold.Held, hold.Version = !hold.Held, hold.Version-1
	}
	verb := api.VerbHold
	if hold.Held {
		verb = api.VerbResume
	}
	return api.Request{Verb: verb, By: by, Version: &hold.Version}
}

func (s *service) answerSignal(ctx context.Context, name string, r api.Request) {
	ctx, cancel := context.WithTimeout(ctx, api.Timeout)
	defer cancel()
	resp := s.Do(ctx, r)
	log := s.log.With("signal", name, "outcome", resp.Outcome, "reason", string(resp.Reason.Code), "detail", resp.Reason.Text)
	if resp.Outcome == api.OutcomeDone {
		log.Info("signal done")
		return
	}
	log.Error("signal did nothing")
}

// signalCommand is a signal that came as a command.
func (s *service) signalCommand(ctx context.Context, r api.Request) api.Response {
	switch r.Signal {
	case "USR1", "USR2", "HUP":
		req, _ := s.signalRequest(r.Signal, r.By)
		return s.Do(ctx, req)
	case "TERM", "INT":
		time.AfterFunc(100*time.Millisecond, func() { s.stop(errTerminate) }) // let the answer out first
		return api.Response{Outcome: api.OutcomeDone, Reason: policy.Reason{Text: "stopping"}}
	}
	return api.Response{Outcome: api.OutcomeFailed, Reason: policy.Reason{Text: "signal " + r.Signal + " is not known; USR1, USR2, HUP and TERM are"}}
}

// Caller names who runs this process, for the history.
func Caller() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "unknown"
}
