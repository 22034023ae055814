package probe

import (
	"context"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

// site is the connection of one Entry.
type site struct {
	entry Entry
	login jsapi.Login
	conn  *jsapi.Conn

	mu      sync.Mutex
	level   int // the API level of the server that answered last
	epoch   uint64
	levelAt time.Time
}

func connect(log *slog.Logger, e Entry, login jsapi.Login) *site {
	log = log.With("site", e.Site)
	if e.Account != "" {
		log = log.With("account", e.Account)
	}
	changed := func(err error) {
		if err != nil {
			log.Warn("site not connected", "error", err)
			return
		}
		log.Info("site connected")
	}
	return &site{entry: e, login: login, conn: jsapi.Dial(jsapi.Options{Login: login, Changed: changed})}
}

func (s *site) sameLogin(l jsapi.Login) bool { return reflect.DeepEqual(s.login, l) }

func closeAll(sites []*site) {
	var wg sync.WaitGroup
	for _, s := range sites {
		wg.Go(s.conn.Close)
	}
	wg.Wait()
}

// levelLife is how long an API level is believed while the connection lasts: it changes only with a server's upgrade.
const levelLife = time.Minute

// apiLevel is the level last seen, and whether it is new enough.
func (s *site) apiLevel() (level int, fresh bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.level, s.epoch == s.conn.Epoch() && time.Since(s.levelAt) < levelLife
}

// askAPI asks the API as such, apart from any stream: whether it serves, and at which level.
func (s *site) askAPI(ctx context.Context) error {
	epoch := s.conn.Epoch()
	level, _, err := s.conn.API(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.level, s.epoch, s.levelAt = level, epoch, time.Now()
	return nil
}
