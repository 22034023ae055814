// Package screen is for texts that a person reads on a terminal.
package screen

import (
	"io"
	"os"
	"strings"
	"unicode"
)

// Paint colours words, or with false leaves them as they are: colour only ever repeats what a word says.
type Paint bool

// PaintFor colours for a terminal, unless the user asked for none (https://no-color.org).
func PaintFor(w io.Writer) Paint {
	return Paint(IsTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb")
}

func (p Paint) in(code, s string) string {
	if !p || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// Bold is for what the eye looks for first.
func (p Paint) Bold(s string) string { return p.in("1", s) }

// Good is for what is as it should be.
func (p Paint) Good(s string) string { return p.in("32", s) }

// Warn is for what a person should look at.
func (p Paint) Warn(s string) string { return p.in("33", s) }

// Bad is for what is broken.
func (p Paint) Bad(s string) string { return p.in("1;31", s) }

// IsTerminal reports whether a person sits at the other end.
func IsTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull) // a character device, too
	return err != nil || !os.SameFile(info, null)
}

// Clean takes the control characters out of a text that came from elsewhere: a server's words must not be able to
// steer the reader's terminal. It becomes one line.
func Clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return ' '
		}
		return r
	}, s)
}

// Wrap breaks a text into lines of at most width characters, at its spaces; runs of spaces within a line stay. A longer word, such
// as a command to be copied, is not broken.
func Wrap(s string, width int) []string {
	var lines []string
	for r := []rune(s); len(r) > width; r = []rune(s) {
		cut := strings.LastIndex(string(r[:width+1]), " ")
		if cut <= 0 {
			cut = strings.Index(s, " ")
		}
		if cut <= 0 {
			break
		}
		lines, s = append(lines, strings.TrimRight(s[:cut], " ")), strings.TrimLeft(s[cut:], " ")
	}
	return append(lines, s)
}
