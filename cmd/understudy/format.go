package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/understudy-ha/understudy/policy"
)

// pageWidth is how wide a page may get: it fits the terminals that people are woken up to.
const pageWidth = 100

// millis writes a number of milliseconds as a person would; -1 is unknown.
func millis(ms int64) string {
	if ms < 0 {
		return "-"
	}
	return span(time.Duration(ms) * time.Millisecond)
}

// span writes a duration with as many digits as matter: 400ms, 2.5s, 1m3s, 2h5m, 3d4h.
func span(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Hour:
		return short(d.Round(time.Second).String())
	case d < 24*time.Hour:
		return short(strings.TrimSuffix(d.Round(time.Minute).String(), "0s"))
	}
	h := int(d.Round(time.Hour) / time.Hour)
	return fmt.Sprintf("%dd%dh", h/24, h%24)
}

// short takes the zero parts off the end: 2m, not 2m0s.
func short(s string) string {
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// lossText says what a promotion would leave behind.
func lossText(l policy.Loss) string {
	switch {
	case !l.Known:
		return "unknown: nobody has read the origin"
	case l.Estimated > l.AtLeast:
		return fmt.Sprintf("at least %d, about %d messages", l.AtLeast, l.Estimated)
	}
	return fmt.Sprintf("at least %d messages", l.AtLeast)
}

// leftBehind says the same of a promotion that might come.
func leftBehind(l policy.Loss) string {
	if !l.Known {
		return lossText(l)
	}
	return lossText(l) + " would be left behind"
}

// reasonText is a reason on one line; a failure of the watchdog's own has no code.
func reasonText(r policy.Reason) string {
	if r.Code == "" {
		return r.Text
	}
	if r.Text == "" {
		return string(r.Code)
	}
	return string(r.Code) + ": " + r.Text
}

// at writes a point in time; logs and all watchdogs speak UTC.
func at(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") + " UTC" }
