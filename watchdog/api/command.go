package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
)

// maxRequest bounds the body of a command.
const maxRequest = 64 << 10

// command takes a Request and answers with its Response. The status code follows the outcome.
func (s server) command(w http.ResponseWriter, r *http.Request) {
	req, err := decodeRequest(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		respond(w, http.StatusBadRequest, failure{Error: err.Error()})
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), Timeout)
	defer cancel()
	resp := s.cmd.Do(ctx, req)
	s.log.LogAttrs(ctx, slog.LevelInfo, "admin command", slog.String(keyVerb, req.Verb), slog.String(keyStream, req.Stream),
		slog.String(keySignal, req.Signal), slog.String(keyBy, req.By), slog.String(keyOutcome, resp.Outcome),
		slog.String(keyReason, string(resp.Reason.Code)), slog.String(keyText, resp.Reason.Text))
	respond(w, httpCode(resp.Outcome), resp)
}

// decodeRequest reads one JSON object; an unknown field is refused, since it was meant to change what is done.
func decodeRequest(body io.Reader) (Request, error) {
	var req Request
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	if err := d.Decode(&req); err != nil {
		return Request{}, fmt.Errorf("%w: not a request in JSON: %w", ErrBadRequest, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Request{}, fmt.Errorf("%w: more than one JSON value", ErrBadRequest)
	}
	return req, req.Validate()
}

func httpCode(outcome string) int {
	switch outcome {
	case OutcomeDone:
		return http.StatusOK
	case OutcomeRefused:
		return http.StatusConflict
	case OutcomeRetry:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}
