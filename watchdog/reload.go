package watchdog

import (
	"errors"
	"fmt"
	"slices"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/config"
)

// errNoFile refuses a reload that has nothing to read.
var errNoFile = errors.New("this watchdog was not started from a config file")

// reload reads the config file again, and takes it over whole or not at all.
func (s *service) reload() api.Response {
	next, err := s.checkReload()
	if err != nil {
		return s.refuseReload(err)
	}
	old := s.Hash()
	s.setConfig(next)
	s.configureProbe()
	if s.o.Level != nil {
		if err := s.o.Level.UnmarshalText([]byte(next.Log.Level)); err != nil {
			s.log.Warn("log level not changed", "error", err)
		}
	}
	s.log.Info("config reloaded", "file", s.o.ConfigFile, "old_hash", old, "config_hash", s.Hash())
	return api.Response{Outcome: api.OutcomeDone, Reason: policy.Reason{Code: policy.Healthy,
		Text: fmt.Sprintf("config %s is in force (was %s)", s.Hash(), old)}}
}

// refuseReload keeps the old config. A file that is refused makes this watchdog unready until a good one is taken over:
// it would not start again.
func (s *service) refuseReload(err error) api.Response {
	s.log.Error("config refused; the old one stays", "file", s.o.ConfigFile, "error", err)
	if errors.Is(err, errNoFile) {
		return failed(err)
	}
	problems := problemLines(err)
	text := problems[0]
	if more := len(problems) - 1; more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	s.mu.Lock()
	s.refused = text
	s.mu.Unlock()
	return api.Response{Outcome: api.OutcomeFailed, Problems: problems,
		Reason: policy.Reason{Text: "config refused; the old one stays: " + text}}
}

// problemLines are the problems of a config file, one each.
func problemLines(err error) []string {
	var bad config.Errors
	if !errors.As(err, &bad) {
		return []string{err.Error()}
	}
	lines := make([]string, len(bad))
	for i, p := range bad {
		lines[i] = p.Error()
	}
	return lines
}

func (s *service) checkReload() (*config.Config, error) {
	if s.o.ConfigFile == "" {
		return nil, errNoFile
	}
	next, err := config.Load(s.o.ConfigFile)
	if err != nil {
		return nil, err
	}
	if err := s.Config().CheckReload(next); err != nil {
		return nil, err
	}
	return next, keepsPrimaries(s.replica.State(), next.Rules())
}

// keepsPrimaries refuses a config that no longer knows the stream which holds the subjects now.
func keepsPrimaries(state policy.State, next policy.Rules) error {
	for name, st := range state.Streams {
		sr, ok := next.Streams[name]
		if ok && slices.Contains(sr.Members(), st.Primary) {
			continue
		}
		if !ok && st.Epoch == 0 {
			continue // never failed over: guarding may simply end
		}
		return fmt.Errorf("streams: %s has its primary at %s, and the new config does not name it: keep it, or switch back first", name, st.Primary)
	}
	return nil
}
