package main

import (
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/watchdog/salvage"
	"github.com/understudy-ha/understudy/watchdog/screen"
)

func salvageList(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list [STREAM]",
		Short: "List the archives at all sites",
		Args:  args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, names []string) error {
			name := ""
			if len(names) == 1 {
				name = names[0]
			}
			p, err := a.dial(cmd.Context())
			if err != nil {
				return err
			}
			defer p.close()
			all, err := a.archives(cmd.Context(), p, name)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(a.stdout, append([]salvage.Found{}, all...))
			}
			_, err = io.WriteString(a.stdout, archivesPage(all, screen.PaintFor(a.stdout)))
			return err
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// archivesPage is the list for people.
func archivesPage(all []salvage.Found, paint screen.Paint) string {
	p := &page{Paint: paint}
	if len(all) == 0 {
		p.line("There is no archive.")
		return p.String()
	}
	columns := []column{{head: "stream", width: 16}, {head: "epoch", right: true}, {head: "tail of", width: 18}, {head: "at"},
		{head: "messages", right: true}, {head: "on primary", right: true}, {head: "size", right: true}, {head: "state"}}
	var rows [][]string
	for _, f := range all {
		messages, on, state := "-", "-", p.Warn("incomplete")
		if f.Account != nil {
			messages, on, state = strconv.FormatUint(f.Account.Messages, 10), strconv.FormatUint(f.Account.OnPrimary, 10), p.Good("verified")
		}
		rows = append(rows, []string{f.Name, strconv.FormatUint(f.Epoch, 10), screen.Clean(f.Origin), f.Site, messages, on, bytesText(f.Bytes), state})
	}
	p.grid(columns, rows)
	return p.String()
}

// bytesText writes a size with as many digits as matter.
func bytesText(n uint64) string {
	f, units := float64(n), []string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for f >= 1000 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	if i == 0 || f >= 10 {
		return fmt.Sprintf("%.0f %s", f, units[i])
	}
	return fmt.Sprintf("%.1f %s", f, units[i])
}
