package main

import (
	"errors"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/understudy-ha/understudy/policy"
	"github.com/understudy-ha/understudy/watchdog/screen"
)

func historyCommand(a *app) *cobra.Command {
	var asJSON bool
	var limit int
	cmd := &cobra.Command{
		Use:   "history [STREAM]",
		Short: "Show what was seen, decided and done, and why",
		Long: `Show the newest entries of the log that the watchdogs share, oldest first: outages, decisions and their reasons, every
phase of every failover, holds and requests. Times are UTC.`,
		Args:              args(cobra.MaximumNArgs(1)),
		ValidArgsFunction: a.completeStreams,
		RunE: func(cmd *cobra.Command, names []string) error {
			if limit < 0 {
				return usageError(cmd, errors.New("--limit is negative"))
			}
			c, err := a.client()
			if err != nil {
				return err
			}
			stream := ""
			if len(names) == 1 {
				stream = names[0]
			}
			list, err := c.History(cmd.Context(), stream, limit)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(a.stdout, list)
			}
			_, err = io.WriteString(a.stdout, historyPage(list, screen.PaintFor(a.stdout)))
			return err
		},
	}
	jsonFlag(cmd, &asJSON)
	cmd.Flags().IntVarP(&limit, "limit", "n", 50, "how many entries; 0 is all there are")
	return cmd
}

// historyPage is the history for people: one row an entry.
func historyPage(list []policy.Entry, paint screen.Paint) string {
	p := &page{Paint: paint}
	if len(list) == 0 {
		p.line("Nothing has happened yet.")
		return p.String()
	}
	columns := []column{{head: "UTC"}, {head: "stream", width: 14}, {head: "epoch", right: true}, {head: "what", width: 19}, {head: "reason and detail", width: 44}}
	var rows [][]string
	for _, e := range list {
		epoch := ""
		if e.Epoch > 0 {
			epoch = strconv.FormatUint(e.Epoch, 10)
		}
		rows = append(rows, []string{e.At.UTC().Format("01-02 15:04:05.000"), e.Stream, epoch, e.Kind, screen.Clean(reasonText(e.Reason))})
	}
	p.grid(columns, rows)
	return p.String()
}
