package main

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/watchdog/api"
)

func healthcheckCommand(a *app) *cobra.Command {
	var live bool
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
			ok, text, err := c.Check(cmd.Context(), path)
			switch {
			case err != nil:
				return &exit{exitFailed, err}
			case !ok:
				return &exit{exitFailed, fmt.Errorf("%s: %s", path, clean(text))}
			}
			_, err = fmt.Fprintln(a.stdout, clean(text))
			return err
		},
	}
	cmd.Flags().BoolVar(&live, "live", false, "ask /livez instead: do the loops of the process advance?")
	return cmd
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
