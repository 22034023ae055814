package watchdog

import (
	"github.com/understudy-ha/understudy/watchdog/config"
	"github.com/understudy-ha/understudy/watchdog/jsapi"
)

// SiteLogins are the logins of a config, by site, for commands that work without any watchdog.
func SiteLogins(c *config.Config) map[string]jsapi.Login { return siteLogins(c) }
