package main

import (
	"fmt"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/understudy-ha/understudy/watchdog/screen"
)

// page is what a command is about to print. It is put together whole, and written once.
type page struct {
	screen.Paint
	strings.Builder
}

// line adds one line.
func (p *page) line(format string, args ...any) {
	fmt.Fprintf(p, format, args...)
	p.WriteByte('\n')
}

// para adds a text, broken at the page's width, every line of it indented.
func (p *page) para(indent, s string) {
	for _, l := range screen.Wrap(screen.Clean(s), pageWidth-len(indent)) {
		p.line("%s%s", indent, l)
	}
}

// labelled adds "label  text", the lines of a long text below each other.
func (p *page) labelled(label, s string) {
	const column = 10
	for i, l := range screen.Wrap(screen.Clean(s), pageWidth-column) {
		if i > 0 {
			label = ""
		}
		p.line("%-*s%s", column, label, l)
	}
}

// list adds items after a label, on as many lines as they need; the items may be painted. No items, no line.
func (p *page) list(label string, items []string) {
	if len(items) == 0 {
		return
	}
	line, used := label, len(label)
	for i, item := range items {
		if i < len(items)-1 {
			item += ","
		}
		n := text.StringWidthWithoutEscSequences(item)
		if used > len(label) && used+1+n > pageWidth {
			p.line("%s", line)
			line, used = strings.Repeat(" ", len(label)), len(label)
		}
		if used > len(label) {
			line, used = line+" ", used+1
		}
		line, used = line+item, used+n
	}
	p.line("%s", line)
}

// column is one column of a table; a wider text is broken at width, 0 being as wide as it gets.
type column struct {
	head  string
	width int
	right bool
}

// grid adds a table.
func (p *page) grid(columns []column, rows [][]string) {
	t := table.NewWriter()
	style := table.StyleLight
	style.Format.Header = text.FormatDefault
	t.SetStyle(style)
	var (
		head    table.Row
		configs []table.ColumnConfig
	)
	for i, c := range columns {
		head = append(head, c.head)
		config := table.ColumnConfig{Number: i + 1, WidthMax: c.width, WidthMaxEnforcer: text.WrapSoft}
		if c.right {
			config.Align, config.AlignHeader = text.AlignRight, text.AlignRight
		}
		configs = append(configs, config)
	}
	t.AppendHeader(head)
	t.SetColumnConfigs(configs)
	for _, r := range rows {
		row := make(table.Row, len(r))
		for i, cell := range r {
			row[i] = cell
		}
		t.AppendRow(row)
	}
	p.line("%s", t.Render())
}
