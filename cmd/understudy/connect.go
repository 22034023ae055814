package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
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

// configError adds what to do when there is no file; all other errors say it themselves.
func configError(err error) error {
	var mistakes config.Errors
	if errors.Is(err, fs.ErrNotExist) && !errors.As(err, &mistakes) {
		err = fmt.Errorf("%w: name the file with --config or $%s, or write it (README.md has a small one)", err, envConfig)
	}
	return &exit{exitConfig, err}
}

// loadConfig reads the config for running it: the files that it names are checked, too.
func (a *app) loadConfig() (*config.Config, string, error) {
	path, err := a.findConfig()
	if err != nil {
		return nil, "", err
	}
	c, err := config.Load(path)
	if err != nil {
		return nil, path, configError(err)
	}
	return c, path, nil
}

// readConfig reads the config for looking something up: whoever asks need not be able to read the logins in it.
func (a *app) readConfig() (*config.Config, error) {
	path, err := a.findConfig()
	if err != nil {
		return nil, err
	}
	c, err := config.Read(path)
	if err != nil {
		return nil, configError(err)
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
	socket, err := a.findSocket()
	if err != nil {
		return nil, err
	}
	return api.SocketClient(socket), nil
}

// findSocket returns the admin socket that the config names. Mistakes in the config do not stop it: a command of an
// emergency cannot wait until they are found.
func (a *app) findSocket() (string, error) {
	socket, err := a.configSocket()
	var mistakes config.Errors
	if err == nil {
		return socket, nil
	}
	if errors.As(err, &mistakes) {
		fmt.Fprintf(a.stderr, "understudy: warning: the config is bad, `understudy config check` says why: %s; talking to %s\n",
			mistakes[0], socket)
		return socket, nil
	}
	defaults := config.Defaults()
	usual := defaults.AdminSocket()
	_, absent := os.Stat(usual)
	if (errors.Is(err, errNoConfig) || errors.Is(err, fs.ErrPermission)) && absent == nil {
		return usual, nil
	}
	fmt.Fprintf(a.stderr, "understudy: the config is needed only to find the admin socket: --socket PATH (usually %s) does without\n", usual)
	return "", err
}

func (a *app) configSocket() (string, error) {
	path, err := a.findConfig()
	if err != nil {
		return "", err
	}
	socket, err := config.AdminSocketIn(path)
	if err != nil && socket == "" {
		return "", configError(err)
	}
	return socket, err
}
