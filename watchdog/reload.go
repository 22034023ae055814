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
	s.reloading.Lock() // what was read first must not be the last to be taken over, or refused
	defer s.reloading.Unlock()
	next, err := s.checkReload()
	if err != nil {
		return s.refuseReload(err)
	}
	old := s.Hash()
	s.setConfig(next)
	s.metrics.guard(s.Rules().Streams)
	s.configureProbe()
	s.configureKeeper()
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
	if bad := keepsWatched(s.replica.State(), next); len(bad) > 0 {
		return nil, bad
	}
	return next, nil
}

// keepsWatched refuses a config that loses sight of what the log still has to do with. The site of a member that it
// names is there: the config was checked.
func keepsWatched(state policy.State, next *config.Config) config.Errors {
	var bad config.Errors
	rules := next.Rules()
	for _, name := range sortedNames(state.Streams) {
		st := state.Streams[name]
		sr, named := rules.Streams[name]
		for _, id := range membersOf(st) {
			why := mustStay(st, id, named)
			if why == "" || named && slices.Contains(sr.Members(), id) {
				continue
			}
			bad = append(bad, next.ProblemOf(name, why, keepRemedy(st, id)))
		}
	}
	return bad
}

// membersOf are the members that the log knows, sorted.
func membersOf(st policy.StreamState) []policy.MemberID {
	ids := []policy.MemberID{st.Primary}
	for _, m := range st.Members {
		if m.ID != st.Primary {
			ids = append(ids, m.ID)
		}
	}
	slices.SortFunc(ids, policy.MemberID.Compare)
	return ids
}

// mustStay says why a member must stay watched; "" if it need not. The guarding of a stream that was never failed over
// may simply end.
func mustStay(st policy.StreamState, id policy.MemberID, named bool) string {
	m := st.Members[id.String()]
	switch a := st.Attempt; {
	case a != nil && (id == a.From || id == a.Target):
		return fmt.Sprintf("%s belongs to failover %d, which is running, and must stay watched", id, a.Epoch)
	case m.Retired > 0:
		return fmt.Sprintf("%s was the primary until failover %d and must stay watched", id, m.Retired)
	case id == st.Primary && m.Promoted > 0:
		return fmt.Sprintf("%s is the primary since failover %d and must stay watched", id, m.Promoted)
	case m.Promoted > 0:
		return fmt.Sprintf("%s was to be promoted by failover %d and must stay watched", id, m.Promoted)
	case id == st.Primary && (named || st.Epoch > 0):
		return fmt.Sprintf("%s is the origin of %s and must stay watched", id, st.Name)
	}
	return ""
}

func keepRemedy(st policy.StreamState, id policy.MemberID) string {
	if st.Epoch == 0 {
		return fmt.Sprintf("keep it as the origin of %s, or guard the other stream under another name", st.Name)
	}
	return fmt.Sprintf("keep it among the mirrors of %s", st.Name)
}
