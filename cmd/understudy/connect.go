package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/config"
)

// envConfig names the config file when --config does not.
const envConfig = "UNDERSTUDY_CONFIG"

// configPlaces are where a config is looked for when nobody names one.
func configPlaces() []string { return []string{"understudy.yaml", "/etc/understudy/understudy.yaml"} }

// errNoConfig says that nobody named a config and none is in its usual places.
var errNoConfig = errors.New("no config file")

// findConfig returns the config file to use.
func (a *app) findConfig() (string, error) {
	if a.configFile != "" {
		return a.configFile, nil
	}
	if name := os.Getenv(envConfig); name != "" {
		return name, nil
	}
	for _, name := range configPlaces() {
		if _, err := os.Stat(name); err == nil {
			return name, nil
		}
	}
	return "", &exit{exitConfig, fmt.Errorf("%w: name one with --config or $%s, or put it at %s", errNoConfig, envConfig,
		strings.Join(configPlaces(), " or "))}
}

// loadConfig reads the config for running it: the files that it names are checked, too.
func (a *app) loadConfig() (*config.Config, string, error) {
	path, err := a.findConfig()
	if err != nil {
		return nil, "", err
	}
	c, err := config.Load(path)
	if err != nil {
		return nil, path, &exit{exitConfig, err}
	}
	return c, path, nil
}

// readConfig reads the config for looking something up: whoever asks need not be able to read the logins in it.
func (a *app) readConfig() (*config.Config, error) {
	path, err := a.findConfig()
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, &exit{exitConfig, fmt.Errorf("read config: %w", err)}
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, &exit{exitConfig, fmt.Errorf("read config %s: %w", path, err)}
	}
	c, err := config.Parse(data, filepath.Dir(abs))
	var bad config.Errors
	if errors.As(err, &bad) {
		for _, p := range bad {
			p.File = path // Parse does not know it
		}
	}
	if err != nil {
		return nil, &exit{exitConfig, err}
	}
	return c, nil
}

// client returns the way to the watchdog that the flags or the config name.
func (a *app) client() (*api.Client, error) {
	switch {
	case a.addr != "" && a.socket != "":
		return nil, &exit{exitUsage, errors.New("give --addr or --socket, not both")}
	case a.socket != "":
		return api.SocketClient(a.socket), nil
	case a.addr != "":
		c, err := api.URLClient(a.addr)
		if err != nil {
			return nil, &exit{exitUsage, fmt.Errorf("--addr: %w", err)}
		}
		return c, nil
	}
	c, err := a.readConfig()
	if err == nil {
		return api.SocketClient(c.AdminSocket()), nil
	}
	defaults := config.Defaults()
	usual := defaults.AdminSocket()
	_, absent := os.Stat(usual)
	if (errors.Is(err, errNoConfig) || errors.Is(err, fs.ErrPermission)) && absent == nil {
		return api.SocketClient(usual), nil
	}
	fmt.Fprintf(a.stderr, "understudy: the config is needed only to find the admin socket: --socket PATH (usually %s) does without\n", usual)
	return nil, err
}
