package main

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/watchdog/api"
	"github.com/understudy-ha/understudy/watchdog/screen"
)

func healthcheckCommand(a *app) *cobra.Command {
	var live, asJSON bool
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "Exit 0 if the watchdog is ready, 1 if not: for containers",
		Long: `Ask /readyz of the config's http.listen, or of --addr: raft has joined and committed lately. It says nothing of the
origin, nor of leadership.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.healthClient()
			if err != nil {
				return err
			}
			path := api.PathReady
			if live {
				path = api.PathLive
			}
			h := health{Path: path}
			h.OK, h.Text, err = c.Check(cmd.Context(), path)
			switch {
			case asJSON:
				return a.printHealth(h, err)
			case err != nil:
				return &exit{exitFailed, err}
			case !h.OK:
				return &exit{exitFailed, fmt.Errorf("%s: %s", path, screen.Clean(h.Text))}
			}
			_, err = fmt.Fprintln(a.stdout, screen.Clean(h.Text))
			return err
		},
	}
	jsonFlag(cmd, &asJSON)
	cmd.Flags().BoolVar(&live, "live", false, "ask /livez instead: do the loops of the process advance?")
	return cmd
}

// health is the JSON of `healthcheck`.
type health struct {
	OK   bool   `json:"ok"`
	Path string `json:"path"`
	Text string `json:"text"` // what the watchdog says, or why it does not
}

func (a *app) printHealth(h health, err error) error {
	if err != nil {
		h.Text = err.Error()
	}
	if err := printJSON(a.stdout, h); err != nil || h.OK {
		return err
	}
	return &exit{code: exitFailed}
}

// healthClient asks where a probe from outside would, unless a flag names another place.
func (a *app) healthClient() (*api.Client, error) {
	if a.addr != "" || a.socket != "" {
		return a.client()
	}
	c, err := a.readConfig()
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(c.HTTP.Listen)
	if err != nil || port == "0" {
		return nil, &exit{exitConfig, fmt.Errorf("http.listen %q has no fixed port to ask at: give --addr or --socket", c.HTTP.Listen)}
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "localhost" // listening everywhere is no place to ask at
	}
	return api.URLClient("http://" + net.JoinHostPort(host, port))
}
