package jsapi

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync"

	"github.com/nats-io/nats.go"
)

// waiting are the requests under way, by subject. The server answers a missing permission with an error that belongs to
// no request; without this a request would only time out, and look like an outage.
type waiting struct {
	mu        sync.Mutex
	next      int
	bySubject map[string]map[int]context.CancelCauseFunc
	left      chan struct{} // not nil: no request is taken any more; closed when none is under way
	noReplies error         // not nil: we may not subscribe to our own inbox, so no answer will ever come
}

var violation = regexp.MustCompile(`(?i)Permissions Violation for (Publish to|Subscription to|Publish with Reply of) "([^"]+)"`)

var domainAPI = regexp.MustCompile(`^\$JS\.[^.]+\.API\.`)

// asChecked is a subject as the server checks it: a server maps its own domain's API to the plain one first, and names
// that in its error.
func asChecked(subject string) string { return domainAPI.ReplaceAllString(subject, "$$JS.API.") }

// add takes a request, unless the connection was left for another.
func (w *waiting) add(subject string, deny context.CancelCauseFunc) (forget func(), ok bool) {
	subject = asChecked(subject)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.left != nil {
		return nil, false
	}
	if w.noReplies != nil {
		deny(fmt.Errorf("%w: %w", ErrPermission, w.noReplies)) // before it is sent
	}
	if w.bySubject == nil {
		w.bySubject = map[string]map[int]context.CancelCauseFunc{}
	}
	if w.bySubject[subject] == nil {
		w.bySubject[subject] = map[int]context.CancelCauseFunc{}
	}
	w.next++
	id := w.next
	w.bySubject[subject][id] = deny
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.bySubject[subject], id)
		if len(w.bySubject[subject]) == 0 {
			delete(w.bySubject, subject)
		}
		if w.left != nil && len(w.bySubject) == 0 {
			close(w.left)
		}
	}, true
}

// leave takes no more requests; the channel is closed when none is under way. It may be called once.
func (w *waiting) leave() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left = make(chan struct{})
	if len(w.bySubject) == 0 {
		close(w.left)
	}
	return w.left
}

// denied ends the requests that a permission violation is about.
func (w *waiting) denied(err error) {
	m := violation.FindStringSubmatch(err.Error())
	if m == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if m[1] == "Publish to" {
		for _, deny := range w.bySubject[asChecked(m[2])] {
			deny(fmt.Errorf("%w: %w", ErrPermission, err))
		}
		return
	}
	w.noReplies = fmt.Errorf("%w: %w", ErrNoReplies, err)
	for _, denies := range w.bySubject {
		for _, deny := range denies {
			deny(w.noReplies)
		}
	}
}

// checkInbox finds out, before the first request, whether answers can be received at all.
func (l *link) checkInbox(ctx context.Context) error {
	sub, err := l.nc.SubscribeSync(l.nc.NewInbox() + ".*") // as the client's own, one token deeper
	if err != nil {
		return err
	}
	if err := l.nc.FlushWithContext(ctx); err != nil {
		return err
	}
	if err := l.nc.LastError(); errors.Is(err, nats.ErrPermissionViolation) {
		l.waiting.denied(err)
		return nil
	}
	return sub.Unsubscribe()
}
