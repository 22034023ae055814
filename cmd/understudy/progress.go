package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/watchdog/salvage"
	"github.com/understudy-ha/understudy/watchdog/screen"
)

// progress shows how far a job is: as a bar on a terminal, else as a line from time to time.
type progress struct {
	w     io.Writer
	bar   bool
	stage string
	began time.Time
	shown time.Time
}

const (
	barEvery  = 100 * time.Millisecond
	lineEvery = 5 * time.Second
	barWidth  = 30
)

func newProgress(w io.Writer) *progress {
	return &progress{w: w, bar: screen.IsTerminal(w)}
}

func (p *progress) show(now salvage.Progress) {
	t := time.Now()
	if now.Stage != p.stage {
		p.end()
		p.stage, p.began, p.shown = now.Stage, t, time.Time{}
	}
	every := lineEvery
	if p.bar {
		every = barEvery
	}
	if now.Done < now.Total && t.Sub(p.shown) < every {
		return
	}
	p.shown = t
	text := progressText(now, t.Sub(p.began))
	if !p.bar {
		fmt.Fprintln(p.w, text)
		return
	}
	fmt.Fprintf(p.w, "\r\x1b[K%s %s", barOf(now), text)
}

// end finishes the bar's line.
func (p *progress) end() {
	if p.bar && p.stage != "" {
		fmt.Fprintln(p.w)
	}
	p.stage = ""
}

func barOf(now salvage.Progress) string {
	full := barWidth
	if now.Total > 0 {
		full = int(min(now.Done, now.Total) * barWidth / now.Total)
	}
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", barWidth-full) + "]"
}

// progressText is one line: what is done of what, how fast, and how long it will take.
func progressText(now salvage.Progress, since time.Duration) string {
	text := fmt.Sprintf("%s: %d of %d, %s", now.Stage, now.Done, now.Total, bytesText(now.Bytes))
	if since < time.Second || now.Done == 0 || now.Done >= now.Total {
		return text
	}
	rate := float64(now.Done) / since.Seconds()
	left := time.Duration(float64(now.Total-now.Done) / rate * float64(time.Second))
	return fmt.Sprintf("%s, %.0f/s, %s left", text, rate, span(left))
}
