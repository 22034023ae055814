package jsapi

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
)

// kind is a sentinel: a class of failure, with the server's error codes that belong to it.
type kind struct {
	text  string
	codes []int
}

func (k *kind) Error() string { return k.text }

// Sentinels for errors.Is. Those with codes match the server's own answers; the others are met on the way to it.
var (
	// ErrNotFound: the stream does not exist.
	ErrNotFound error = &kind{text: "stream not found", codes: []int{10059}}
	// ErrOffline: the server knows that the stream's servers are gone, or that none of them can run it.
	ErrOffline error = &kind{text: "stream is offline", codes: []int{10118, 10194}}
	// ErrMetaUnavailable: the meta group has no leader, so the API can neither tell nor change anything.
	ErrMetaUnavailable error = &kind{text: "JetStream meta group is unavailable", codes: []int{10008}}
	// ErrOverlap: the subjects belong to another stream of this account.
	ErrOverlap error = &kind{text: "subjects overlap with an existing stream", codes: []int{10065}}
	// ErrNoJetStream: JetStream is off, for the account (10039) or the server (10076).
	ErrNoJetStream error = &kind{text: "JetStream is not enabled", codes: []int{10039, 10076}}
	// ErrAPILevel: the server is too old for what was asked of it.
	ErrAPILevel error = &kind{text: "JetStream API level too low", codes: []int{10185}}
	// ErrWrongLastSequence: a leader refused a publish for its expected last sequence.
	ErrWrongLastSequence error = &kind{text: "wrong last sequence", codes: []int{10071, 10164}}
	// ErrTooLarge: a leader refused a publish for its size, with its headers, beside max_msg_size.
	ErrTooLarge error = &kind{text: "message is too large", codes: []int{10054}}
	// ErrOverloaded: the server refuses work: too many requests, or too many connections.
	ErrOverloaded error = &kind{text: "server is overloaded", codes: []int{10167}}

	// ErrNoResponders: nobody listens on the subject.
	ErrNoResponders error = &kind{text: "no responders"}
	// ErrTimeout: asked, and not answered before the deadline. A write that timed out may have happened.
	ErrTimeout error = &kind{text: "no answer in time"}
	// ErrDisconnected: there is no connection to the site. A write that was under way may have happened.
	ErrDisconnected error = &kind{text: "not connected"}
	// ErrConnecting: the first attempt to connect is still under way. It says nothing about the site, and does not
	// match ErrDisconnected.
	ErrConnecting error = &kind{text: "connecting for the first time"}
	// ErrAuth: the site, or one of its servers, refuses our login; or our own credentials cannot be read.
	ErrAuth error = &kind{text: "login refused"}
	// ErrPermission: the login may not ask this. The request was not carried out.
	ErrPermission error = &kind{text: "permission denied"}
	// ErrNoReplies: the login may not receive answers. Alone it means that a request was under way, and may have been
	// carried out; with ErrPermission, that it was not sent for this reason.
	ErrNoReplies error = &kind{text: "no permission to receive answers"}
)

// APIError is the server's own refusal.
type APIError struct {
	Code        int    `json:"code"`     // as HTTP has them
	ErrCode     int    `json:"err_code"` // exact
	Description string `json:"description"`
}

// Error gives the server's words and its exact code.
func (e *APIError) Error() string { return fmt.Sprintf("%s (%d/%d)", e.Description, e.Code, e.ErrCode) }

// Is says whether this refusal belongs to one of the sentinels.
func (e *APIError) Is(target error) bool {
	k, ok := target.(*kind)
	if !ok {
		return false
	}
	return slices.Contains(k.codes, e.ErrCode) || target == ErrOverloaded && e.Code == 429
}

// requestError gives a failed request its sentinel, the cause of ctx first: a permission violation arrives there.
func (l *link) requestError(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	switch {
	case errors.Is(cause, ErrPermission), errors.Is(cause, ErrNoReplies):
		return cause
	case errors.Is(err, nats.ErrNoResponders):
		return ErrNoResponders
	case errors.Is(err, nats.ErrPermissionViolation):
		return fmt.Errorf("%w: %w", ErrPermission, err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout):
		return fmt.Errorf("%w: %w", ErrTimeout, context.DeadlineExceeded)
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, nats.ErrMaxPayload), errors.Is(err, nats.ErrBadSubject):
		return err
	}
	return connectError(l.lostWith(err))
}

// connectError gives a failed or ended connection its sentinel: a server that refuses us is alive, and must not look
// like one that cannot be reached.
func connectError(err error) error {
	switch {
	case err == nil:
		return ErrDisconnected
	case errors.Is(err, ErrAuth), errors.Is(err, ErrOverloaded), errors.Is(err, ErrDisconnected):
		return err
	case refusesLogin(err):
		return fmt.Errorf("%w: %w", ErrAuth, err)
	case isFull(err):
		return fmt.Errorf("%w: %w", ErrOverloaded, err)
	}
	return fmt.Errorf("%w: %w", ErrDisconnected, err)
}

// connectKind is the sentinel of what connectError returned.
func connectKind(err error) error {
	for _, k := range []error{ErrAuth, ErrOverloaded} {
		if errors.Is(err, k) {
			return k
		}
	}
	return ErrDisconnected
}

func refusesLogin(err error) bool {
	for _, known := range []error{
		nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired,
		nats.ErrSecureConnRequired, nats.ErrSecureConnWanted, nats.ErrNkeysNotSupported,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	var (
		verify *tls.CertificateVerificationError
		alert  tls.AlertError
		record tls.RecordHeaderError
		ca     x509.UnknownAuthorityError
		host   x509.HostnameError
		cert   x509.CertificateInvalidError
	)
	if errors.As(err, &verify) || errors.As(err, &alert) || errors.As(err, &record) ||
		errors.As(err, &ca) || errors.As(err, &host) || errors.As(err, &cert) {
		return true
	}
	return says(err, "authorization violation", "authentication timeout", "authentication expired", "authentication revoked",
		"remote error: tls")
}

func isFull(err error) bool {
	return errors.Is(err, nats.ErrMaxConnectionsExceeded) || errors.Is(err, nats.ErrMaxAccountConnectionsExceeded) ||
		says(err, "maximum connections exceeded", "maximum account active connections exceeded")
}

// says looks for the protocol's own texts, for which the client does not always have a sentinel.
func says(err error, texts ...string) bool {
	lower := strings.ToLower(err.Error())
	return slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(lower, t) })
}
