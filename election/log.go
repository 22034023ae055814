package election

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Keys of log attributes.
const (
	keyError  = "error"
	keyLeader = "leader"
	keyPeer   = "peer"
	keyRemote = "remote"
	keyTerm   = "term"
	keyReason = "reason"
	keyPause  = "pause"
	keyIndex  = "index"
)

// repeatEvery is how often the same thing may be said above DEBUG: a dead peer is worth a line, not four a second.
const repeatEvery = 30 * time.Second

// snake turns raft's keys into ours.
var snake = strings.NewReplacer("-", "_", " ", "_")

// newRaftLogger returns the logger for raft and its stores, which writes to log: WARN and above as they are, the rest
// as DEBUG, because raft's INFO is about its own works.
func newRaftLogger(log *slog.Logger) hclog.Logger {
	l := hclog.NewInterceptLogger(&hclog.LoggerOptions{Output: io.Discard, Level: hclog.Off})
	l.RegisterSink(&sink{log: log.With("component", "raft"), seldom: newSeldom()})
	return l
}

// sink receives what raft logs.
type sink struct {
	log    *slog.Logger
	seldom *seldom
}

// Accept implements hclog.SinkAdapter.
func (s *sink) Accept(_ string, level hclog.Level, msg string, args ...any) {
	to := slog.LevelDebug
	switch level {
	case hclog.Warn:
		to = slog.LevelWarn
	case hclog.Error:
		to = slog.LevelError
	}
	attrs := make([]any, 0, len(args))
	about, ended := msg, false
	for i := 0; i+1 < len(args); i += 2 {
		key := snake.Replace(fmt.Sprint(args[i]))
		value := plain(args[i+1])
		attrs = append(attrs, slog.Any(key, value))
		err, ok := value.(error)
		ended = ended || ok && connectionEnded(err)
		if key == keyPeer || key == "target" || key == "server_id" {
			about += fmt.Sprint(" ", value)
		}
	}
	if to > slog.LevelDebug && (ended || !s.seldom.may(about)) {
		to = slog.LevelDebug
	}
	s.log.Log(context.Background(), to, msg, attrs...)
}

// connectionEnded tells of a connection that one side closed or lost: no news, as the peer's absence shows elsewhere.
func connectionEnded(err error) bool {
	return errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET)
}

// seldom keeps what is retried many times a second from saying so each time.
type seldom struct {
	mu   sync.Mutex
	said map[string]time.Time // when each thing was last said
}

func newSeldom() *seldom { return &seldom{said: make(map[string]time.Time)} }

// may reports whether something may be said now, and notes that it was.
func (s *seldom) may(what string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if last, ok := s.said[what]; ok && now.Sub(last) < repeatEvery {
		return false
	}
	if len(s.said) > 256 {
		clear(s.said)
	}
	s.said[what] = now
	return true
}

// plain turns a value of raft's loggers into one that slog prints well. Structs are printed at once, because raft may
// change them after the call.
func plain(v any) any {
	switch v := v.(type) {
	case hclog.Format:
		if len(v) > 0 {
			return fmt.Sprintf(fmt.Sprint(v[0]), v[1:]...)
		}
		return ""
	case string, bool, int, int64, uint64, time.Duration, error:
		return v
	default:
		return fmt.Sprintf("%v", v)
	}
}
